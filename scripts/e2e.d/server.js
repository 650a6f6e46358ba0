// The seed's application: a Socket.IO server that says which one it is. Two of them run with different
// SERVER_IDs. Beyond the seed it serves a page, answers messages, sets a cookie of its own (so that one can see
// that other cookies pass), and tells on standard output, one JSON object a line, every request as it arrived.

import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { Server } from 'socket.io';

const sID = process.env.SERVER_ID;
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8');
const tell = (event) => process.stdout.write(JSON.stringify({ server: sID, ...event }) + '\n');

const server = createServer((request, response) => {
  if (request.url.split('?')[0] !== '/') {
    response.writeHead(404).end('not here\n');
    return;
  }
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.setHeader('Set-Cookie', 'theme=dark; Path=/');
  response.end(page.replaceAll('{{server}}', sID));
});

// Before Socket.IO, which replaces the listeners that it finds.
const record = (request) => tell({ event: 'request', method: request.method, url: request.url, fields: request.rawHeaders });

const io = new Server(server);
server.prependListener('request', record);
server.prependListener('upgrade', record);

io.on('connection', (socket) => {
  tell({ event: 'connection', sid: socket.conn.id, transport: socket.conn.transport.name });
  socket.conn.on('upgrade', (transport) => tell({ event: 'upgraded', sid: socket.conn.id, transport: transport.name }));
  socket.on('disconnect', (reason) => tell({ event: 'disconnect', sid: socket.conn.id, reason }));
  socket.emit('welcome', { server: sID });
  socket.on('say', (text, answer) => answer({ server: sID, text }));
});

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => tell({ event: 'listening' }));
