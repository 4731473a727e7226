import type { Socket } from 'node:net';
import { type CallServer, Http2Connection } from './http2-connection.js';

export interface Connections {
  /** Notes a socket, from its first byte on; false, and its end, where no more are taken. */
  enter(socket: Socket): boolean;
  /** Speaks HTTP/2 on a socket, or on what carries one inside of it. */
  speak(socket: Socket): void;
  /**
   * Says GOAWAY on every connection, ends each when its calls are answered, and cuts off what is
   * left after `graceMs`. A call that crosses the GOAWAY is refused unprocessed, so that Envoy
   * may send it again (ENVOY-MEASURED.md 6).
   */
  stop(graceMs: number): Promise<void>;
}

/** Knows every connection of a server. */
export function trackConnections(server: CallServer): Connections {
  const sockets = new Set<Socket>();
  const connections = new Set<Http2Connection>();
  let isStopping = false;
  return {
    enter(socket) {
      if (isStopping) {
        socket.destroy();
        return false;
      }
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return true;
    },
    speak(socket) {
      const connection = new Http2Connection(socket, server);
      connections.add(connection);
      socket.once('close', () => connections.delete(connection));
      if (isStopping) connection.stop();
    },
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
        for (const connection of connections) connection.stop();
        endWhenEmpty();
      }),
  };
}
