// node floor.mjs URL LIST: asks for all files on eight connections without waiting for answers, and drops what comes.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const CONNECTIONS = 8;
const [url, list] = process.argv.slice(2);
const { hostname, port, pathname, host } = new URL(url);
const files = readFileSync(list, 'utf8').split('\n');

await Promise.all(
  Array.from({ length: CONNECTIONS }, async (_, i) => {
    let mine = files.filter((_file, at) => at % CONNECTIONS === i);
    // nginx closes a connection after 1,000 requests.
    while (mine.length > 0) {
      await exchange(mine.slice(0, 900));
      mine = mine.slice(900);
    }
  }),
);

function exchange(names) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.write(names.map((name) => `GET ${pathname}${name} HTTP/1.1\r\nHost: ${host}\r\n\r\n`).join(''));
    let head = Buffer.alloc(0);
    let body = 0;
    let left = names.length;
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      let at = 0;
      while (at < chunk.length) {
        if (body > 0) {
          const taken = Math.min(body, chunk.length - at);
          body -= taken;
          at += taken;
        } else {
          const before = head.length;
          head = Buffer.concat([head, chunk.subarray(at)]);
          const end = head.indexOf('\r\n\r\n');
          if (end < 0) return;
          const text = head.subarray(0, end).toString('latin1');
          if (!text.startsWith('HTTP/1.1 200 ')) return reject(new Error(text));
          body = Number(/^content-length: (\d+)/im.exec(text)[1]);
          at += end + 4 - before;
          head = Buffer.alloc(0);
        }
        if (body === 0 && head.length === 0 && --left === 0) {
          socket.destroy();
          return resolve();
        }
      }
    });
  });
}
