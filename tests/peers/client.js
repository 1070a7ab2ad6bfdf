// A keep-alive client on Node's http for the tests: `node client.js URL REQUESTS CONNECTIONS`. Prints what went wrong, and exits with 1,
// or `ok` and the number of answers.
'use strict';
const http = require('http');

const [url, requests, connections] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
const deadline = setTimeout(() => fail('not done within 60 s'), 60_000);

function fail(why) {
  console.error(why);
  process.exit(1);
}

function ask(method, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { agent, method }, (response) => {
      let bytes = 0;
      response.on('data', (data) => { bytes += data.length; });
      response.on('end', () => resolve([response.statusCode, bytes]));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function work(share) {
  for (let number = 0; number < share; number++) {
    const body = number % 3 === 2 ? 'x'.repeat(number) : undefined;
    const [status] = await ask(body === undefined ? 'GET' : 'PUT', body);
    if (status !== 200) fail(`request ${number}: ${status}`);
    // Now and then longer than the app keeps an idle connection.
    if (number % 5 === 4) await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

const shares = Array.from({ length: connections }, () => work(requests / connections));
Promise.all(shares).then(() => {
  clearTimeout(deadline);
  console.log(`ok ${requests}`);
  agent.destroy();
}, (error) => fail(String(error)));
