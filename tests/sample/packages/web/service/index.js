const { createServer } = require('node:http');
const { title } = require('@acme/text');
const { words } = require('core');
const { version } = require('../package.json');

const answers = {
  '/': () => title('a service that answers'),
  '/words': () => String(words('how many words').length),
  '/environment': () => process.env.SERVER_ENV ?? '',
  '/health': () => version,
};

const server = createServer((request, response) => {
  const answer = answers[request.url];
  response.writeHead(answer ? 200 : 404, { 'content-type': 'text/plain' });
  response.end(answer ? answer() : 'not found');
});

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
