import { expect } from 'chai';
import { describe, it } from 'mocha';
import protobufjs from 'protobufjs';
import { officialProtos, ownProtos } from '../support/official-protos.js';

/** Envoy's enum of HTTP statuses is an int32 in our protos; the wire is the same. */
const typeOf = ({ type }: protobufjs.Field) => (type === 'StatusCode' ? 'int32' : type);
/** Newer than the official protos that the development dependency ships (ENVOY.md 1). */
const newer = new Set(['CheckResponse.error_response', 'SocketAddress.network_namespace_filepath']);

const messages = [
  ...['CheckRequest', 'CheckResponse', 'DeniedHttpResponse', 'OkHttpResponse', 'AttributeContext']
    .concat(
      ['Peer', 'Request', 'HttpRequest', 'TLSSession'].map((name) => `AttributeContext.${name}`),
    )
    .map((name) => `envoy.service.auth.v3.${name}`),
  ...['Metadata', 'QueryParameter', 'HeaderValue', 'HeaderMap', 'HeaderValueOption', 'Pipe']
    .concat(['EnvoyInternalAddress', 'SocketAddress', 'Address'])
    .map((name) => `envoy.config.core.v3.${name}`),
  'envoy.type.v3.HttpStatus',
  'google.rpc.Status',
];

describe('the protos', () => {
  const official = officialProtos();
  const own = ownProtos();
  for (const name of messages) {
    it(`have the field numbers and types of Envoy's own: ${name}`, () => {
      const theirs = official.lookupType(name).fields;
      const ours = own.lookupType(name).fields;
      expect(Object.keys(ours)).to.have.length.greaterThan(0);
      for (const [field, { id, repeated }] of Object.entries(ours)) {
        const known = theirs[field];
        const isNewer = newer.has(`${name.split('.').at(-1)}.${field}`) && known === undefined;
        const said = known === undefined ? 'absent' : `${known.id} ${known.repeated}`;
        expect(isNewer || said === `${id} ${repeated}`, `${field}: ${said}`).to.equal(true);
        const shortType = (text: string | undefined) => text?.split('.').at(-1);
        const mine = ours[field];
        expect(shortType(mine && typeOf(mine))).to.equal(
          shortType(known === undefined ? mine?.type : typeOf(known)),
        );
      }
    });
  }
  it('are read by protobufjs, the health service included', () => {
    expect(own.lookupService('grpc.health.v1.Health').methods).to.have.keys('Check', 'Watch');
    expect(protobufjs).to.be.an('object');
  });
});
