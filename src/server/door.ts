import { createServer, type Socket } from 'node:net';
import { hostAndPort, type ServerOptions, type ServingAddress } from './listener.js';
import { bindSocketFile, type SocketFile } from './socket-file.js';

/** Where connections come in. What is spoken on them is another's subject. */
export interface Door {
  /** The address it is reached at: with the real port where 0 was asked for. */
  readonly address: string;
  /** Tells when the path of a unix socket leads nowhere, and, lastly, when to another process. */
  onLost(tell: (leadsTo: 'another' | 'nothing') => void): void;
  /** Lets nobody in any more; who is in, stays. */
  close(): void;
}

export interface DoorOptions {
  /** A unix socket on which another process answers is taken over; refused otherwise. */
  readonly takesOver: boolean;
  /** Connections are given on unread, to be handed to another process. */
  readonly unread: boolean;
}

const lookMs = 200;

export function doorOptions({ takesOver = false }: ServerOptions): DoorOptions {
  return { takesOver, unread: false };
}

/**
 * Listens on an address and gives each connection to `accept`. Rejects with a sentence for the
 * operator when the address is not to be had.
 */
export async function openDoor(
  address: ServingAddress,
  { takesOver, unread }: DoorOptions,
  accept: (socket: Socket) => void,
): Promise<Door> {
  const server = createServer({ pauseOnConnect: unread, noDelay: true }, accept);
  const listen = (target: { path: string } | { host: string; port: number }) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(target, () => {
        server.off('error', reject);
        resolve();
      });
    });
  let file: SocketFile | undefined;
  let at = address.kind === 'unix' ? `unix://${address.path}` : hostAndPort(address);
  if (address.kind === 'unix') {
    try {
      file = await bindSocketFile(address.path, takesOver, (path) => listen({ path }));
    } catch (error) {
      server.close();
      throw error;
    }
  } else {
    await listen({ host: address.host, port: address.port });
    const bound = server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
    at = hostAndPort({ ...address, port });
  }
  let timer: NodeJS.Timeout | undefined;
  return {
    address: at,
    onLost(tell) {
      let before: ReturnType<SocketFile['leadsTo']> = 'us';
      timer = setInterval(() => {
        const leadsTo = file?.leadsTo() ?? 'us';
        if (leadsTo === before) return;
        before = leadsTo;
        if (leadsTo === 'another') clearInterval(timer);
        if (leadsTo !== 'us') tell(leadsTo);
      }, lookMs).unref();
    },
    close() {
      clearInterval(timer);
      file?.remove();
      server.close();
    },
  };
}
