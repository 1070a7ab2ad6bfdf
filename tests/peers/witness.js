// Node's http as a witness: it answers each request with how it read it (the field X-Read; tests/tests/differential/account.rs says
// its form). First line of stdout: its address.
'use strict';
const http = require('http');

const hex = (text) => Buffer.from(text, 'latin1').toString('hex');

// `raw` is name, value, name, value, ... as it came.
function pairs(mark, raw) {
  const said = [];
  for (let at = 0; at < raw.length; at += 2) said.push(`${mark}:${hex(raw[at])}:${hex(raw[at + 1])}`);
  return said;
}

const server = http.createServer({ maxHeaderSize: 1 << 20 }, (request, response) => {
  const body = [];
  request.on('data', (data) => body.push(data));
  request.on('end', () => {
    const read = [`m:${hex(request.method)}`, `t:${hex(request.url)}`, `b:${Buffer.concat(body).toString('hex')}`];
    read.push(...pairs('f', request.rawHeaders), ...pairs('r', request.rawTrailers));
    response.writeHead(200, { 'Content-Length': 0, 'X-Read': read.join(' ') });
    response.end();
  });
});
// Only after the answers to what came whole before: by itself Node throws them away.
server.on('clientError', (error, socket) => setImmediate(() => {
  if (socket.writable) socket.end(`HTTP/1.1 400 Bad Request\r\nX-Error: ${error.code}\r\nConnection: close\r\n\r\n`);
}));
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
