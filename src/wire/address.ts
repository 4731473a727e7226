import { malformed, type Reader, readFields, readOnce } from './reader.js';
import { type Writer, writeMessage, writeString } from './writer.js';

/** envoy.config.core.v3.Address, as the one alternative that was set. */
export type Address = SocketAddress | Pipe | InternalAddress;

export interface SocketAddress {
  readonly kind: 'socket';
  /** 0 TCP, 1 UDP. */
  readonly protocol: number;
  readonly address: string;
  readonly port: number | undefined;
  readonly namedPort: string | undefined;
  readonly resolverName: string;
  readonly ipv4Compat: boolean;
  readonly networkNamespaceFilepath: string;
}

export interface Pipe {
  readonly kind: 'pipe';
  readonly path: string;
  readonly mode: number;
}

export interface InternalAddress {
  readonly kind: 'internal';
  readonly serverListenerName: string | undefined;
  readonly endpointId: string;
}

/** Reads Address; undefined when no alternative is set, refused when two are. */
export function readAddress(reader: Reader): Address | undefined {
  let address: Address | undefined;
  const alternative = (read: (inner: Reader) => Address) => {
    if (address !== undefined) malformed('an address has two alternatives');
    return readOnce(reader, undefined, read);
  };
  readFields(reader, (field) => {
    if (field === 1) address = alternative(readSocketAddress);
    else if (field === 2) address = alternative(readPipe);
    else if (field === 3) address = alternative(readInternalAddress);
    else return false;
    return true;
  });
  return address;
}

function readSocketAddress(reader: Reader): SocketAddress {
  let protocol = 0;
  let address = '';
  let port: number | undefined;
  let namedPort: string | undefined;
  let resolverName = '';
  let ipv4Compat = false;
  let networkNamespaceFilepath = '';
  readFields(reader, (field) => {
    if (field === 1) protocol = reader.int32();
    else if (field === 2) address = reader.string();
    else if (field === 3) port = reader.uint32();
    else if (field === 4) namedPort = reader.string();
    else if (field === 5) resolverName = reader.string();
    else if (field === 6) ipv4Compat = reader.bool();
    else if (field === 7) networkNamespaceFilepath = reader.string();
    else return false;
    return true;
  });
  return {
    kind: 'socket',
    protocol,
    address,
    port,
    namedPort,
    resolverName,
    ipv4Compat,
    networkNamespaceFilepath,
  };
}

function readPipe(reader: Reader): Pipe {
  let path = '';
  let mode = 0;
  readFields(reader, (field) => {
    if (field === 1) path = reader.string();
    else if (field === 2) mode = reader.uint32();
    else return false;
    return true;
  });
  return { kind: 'pipe', path, mode };
}

function readInternalAddress(reader: Reader): InternalAddress {
  let serverListenerName: string | undefined;
  let endpointId = '';
  readFields(reader, (field) => {
    if (field === 1) serverListenerName = reader.string();
    else if (field === 2) endpointId = reader.string();
    else return false;
    return true;
  });
  return { kind: 'internal', serverListenerName, endpointId };
}

export function writeAddress(writer: Writer, address: Address): void {
  if (address.kind === 'socket') {
    writeMessage(writer, 1, (inner) => writeSocketAddress(inner, address));
  } else if (address.kind === 'pipe') {
    writeMessage(writer, 2, (inner) => {
      writeString(inner, 1, address.path);
      if (address.mode !== 0) inner.writeInt(2, address.mode);
    });
  } else {
    writeMessage(writer, 3, (inner) => {
      if (address.serverListenerName !== undefined) {
        inner.writeString(1, address.serverListenerName);
      }
      writeString(inner, 2, address.endpointId);
    });
  }
}

function writeSocketAddress(writer: Writer, address: SocketAddress): void {
  if (address.protocol !== 0) writer.writeInt(1, address.protocol);
  writeString(writer, 2, address.address);
  if (address.port !== undefined) writer.writeInt(3, address.port);
  if (address.namedPort !== undefined) writer.writeString(4, address.namedPort);
  writeString(writer, 5, address.resolverName);
  if (address.ipv4Compat) writer.writeInt(6, 1);
  writeString(writer, 7, address.networkNamespaceFilepath);
}
