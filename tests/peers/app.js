// A small app on Node's http for the tests. First line of stdout: its address. KEEP_ALIVE_MS: how long it keeps idle connections.
'use strict';
const http = require('http');
const crypto = require('crypto');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const pages = {
  '/': (request, response) => response.end('hello\n'),
  '/headers': (request, response) => response.end(JSON.stringify(request.headers)),
  // The length and digest of what came: proves that a body passed whole.
  '/digest': (request, response) => {
    const hash = crypto.createHash('sha256');
    let bytes = 0;
    request.on('data', (data) => { hash.update(data); bytes += data.length; });
    request.on('end', () => response.end(`${bytes} ${hash.digest('hex')}`));
  },
  '/echo': (request, response) => request.pipe(response),
  '/slow': async (request, response) => {
    for (let part = 0; part < 10; part++) {
      response.write(`part ${part}\n`);
      await pause(20);
    }
    response.end();
  },
  '/trailers': (request, response) => {
    response.writeHead(200, { Trailer: 'X-Sum' });
    response.write('hello');
    response.addTrailers({ 'X-Sum': '42' });
    response.end();
  },
  '/hints': (request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.end('hinted'));
  },
  '/break': (request, response) => {
    response.writeHead(200, { 'Content-Length': '1000' });
    response.write('hello', () => request.socket.destroy());
  },
};

const server = http.createServer((request, response) => {
  const page = pages[request.url.split('?')[0]];
  if (page) return page(request, response);
  response.writeHead(404);
  response.end('no such page\n');
});
server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS || 5000);
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
