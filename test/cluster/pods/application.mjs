// The application of the pods: it answers with what arrived. As a client it is `send URL [token file]`,
// which prints the status and the body of one request.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [command, url, tokenFile] = process.argv.slice(2);

if (command === 'send') {
  const headers = tokenFile ? { authorization: `Bearer ${readFileSync(tokenFile, 'utf8')}` } : {};
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(30_000) });
  console.log(JSON.stringify({ status: answer.status, body: await answer.text() }));
} else {
  const respond = (request, response) => {
    const { method, url: path, headers } = request;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ method, path, headers }));
  };
  for (const address of (process.env.LISTEN ?? '0.0.0.0:8081').split(' ')) {
    const [host, port] = address.split(':');
    createServer(respond).listen(Number(port), host);
  }
  // Nobody else handles signals for the first process of a container.
  process.once('SIGTERM', () => process.exit(0));
}
