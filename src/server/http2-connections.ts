import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/** How much one connection may send before it waits for our reading. */
const connectionWindowBytes = 16 * 1024 * 1024;

export interface Connections {
  /**
   * Says GOAWAY on every connection, ends each when its calls are answered, and cuts off what is
   * left after `graceMs`. A call that crosses the GOAWAY is refused unprocessed, so that Envoy
   * may send it again (ENVOY-MEASURED.md 6).
   */
  stop(graceMs: number): Promise<void>;
}

/** Knows every connection of a server from its first byte on. */
export function trackConnections(server: Http2Server | Http2SecureServer): Connections {
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  let isStopping = false;
  server.on('connection', (socket: Socket) => {
    if (isStopping) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    if (isStopping) session.close();
    else session.setLocalWindowSize(connectionWindowBytes);
  });
  return {
    stop: (graceMs) =>
      new Promise((resolve) => {
        isStopping = true;
        const cut = setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, graceMs);
        const endWhenEmpty = () => {
          if (sockets.size > 0) return;
          clearTimeout(cut);
          resolve();
        };
        for (const socket of sockets) socket.once('close', endWhenEmpty);
        for (const session of sessions) session.close();
        endWhenEmpty();
      }),
  };
}
