import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import {
  bearer,
  changingKeys,
  context,
  corpKey,
  corpToken,
  identifierOf,
  issuerOf,
  malleableTwin,
  nowMs,
  otherKey,
  outcomeOf,
  requestOf,
  storeOf,
  verificationKey,
} from './fixtures.js';

const ok = 'corp:agent-7';

describe('the cache of verified tokens', () => {
  const warm = async (keys = changingKeys([verificationKey(corpKey)]), changes: object = {}) => {
    const identifier = identifierOf({ token: { issuers: [issuerOf({ keys })] } });
    const request = bearer(corpToken(changes));
    expect(outcomeOf(await identifier.identify(request, context()))).to.equal(ok);
    return { identifier, request, keys };
  };

  it('answers a token that it knows without a promise', async () => {
    const { identifier, request } = await warm();
    const again = identifier.identify(request, context());
    expect(again).to.not.be.instanceOf(Promise);
    expect(outcomeOf(await again)).to.equal(ok);
  });

  it('checks exp at every hit', async () => {
    const { identifier, request } = await warm();
    const late = await identifier.identify(request, context('c', nowMs + 246_000));
    expect(outcomeOf(late)).to.equal('token_expired');
  });

  it('checks nbf at every hit, so a clock that steps back revives nothing', async () => {
    const { identifier, request } = await warm(undefined, { nbf: nowMs / 1000 });
    const early = await identifier.identify(request, context('c', nowMs - 6000));
    expect(outcomeOf(early)).to.equal('token_not_yet_valid');
  });

  it('B16 forgets what a removed key verified', async () => {
    const { identifier, request, keys } = await warm();
    keys.replace([verificationKey(otherKey)]);
    expect(outcomeOf(await identifier.identify(request, context()))).to.equal('token_key_unknown');
  });

  it('forgets what a key of the same name verified', async () => {
    const { identifier, request, keys } = await warm();
    keys.replace([verificationKey(otherKey, { kid: 'corp-1' })]);
    const result = await identifier.identify(request, context());
    expect(outcomeOf(result)).to.equal('token_signature_invalid');
  });

  it('B17 verifies again, and accepts, when a key is added', async () => {
    const { identifier, request, keys } = await warm();
    keys.replace([verificationKey(corpKey), verificationKey(otherKey)]);
    expect(outcomeOf(await identifier.identify(request, context()))).to.equal(ok);
  });

  it('does not outlive its keys', async () => {
    const { identifier, request, keys } = await warm();
    keys.replace(new Refusal('keys_unavailable', 'too old'));
    expect(outcomeOf(await identifier.identify(request, context()))).to.equal('keys_unavailable');
  });

  it('does not remember a refusal', async () => {
    const keys = changingKeys([]);
    const identifier = identifierOf({ token: { issuers: [issuerOf({ keys })] } });
    const request = bearer(corpToken());
    expect(outcomeOf(await identifier.identify(request, context()))).to.equal('token_key_unknown');
    keys.replace([verificationKey(corpKey)]);
    expect(outcomeOf(await identifier.identify(request, context()))).to.equal(ok);
  });
});

describe('a token for single use', () => {
  const once = (size = 100) =>
    identifierOf({
      token: { issuers: [issuerOf({ singleUse: true })] },
      replay: storeOf(size),
    });

  it('is accepted by one request, and again when Envoy delivers the same Check', async () => {
    const identifier = once();
    const request = bearer(corpToken());
    const use = async (digest: string) =>
      outcomeOf(await identifier.identify(request, context(digest)));
    expect([await use('a'), await use('b'), await use('a')]).to.deep.equal([
      ok,
      'token_replayed',
      ok,
    ]);
  });

  it('A16 is used up by its (r, n-s) twin as well', async () => {
    const identifier = once();
    const token = corpToken();
    const use = async (text: string, digest: string) =>
      outcomeOf(await identifier.identify(bearer(text), context(digest)));
    expect(await use(malleableTwin(token), 'a')).to.equal(ok);
    expect(await use(token, 'b')).to.equal('token_replayed');
  });

  it('is accepted once when twenty requests bring it at once', async () => {
    const identifier = once();
    const request = bearer(corpToken());
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) => identifier.identify(request, context(`check-${n}`))),
    );
    expect(results.map(outcomeOf).filter((result) => result === ok)).to.have.length(1);
  });

  it('is spent once, also where its issuer is configured for two headers', async () => {
    const issuers = [
      issuerOf({ singleUse: true }),
      issuerOf({ name: 'other', header: 'x-token', singleUse: true }),
    ];
    const identifier = identifierOf({ token: { issuers } });
    const token = corpToken();
    expect(outcomeOf(await identifier.identify(bearer(token), context('a')))).to.equal(ok);
    const again = await identifier.identify(requestOf({ 'x-token': token }), context('b'));
    expect(outcomeOf(again)).to.equal('token_replayed');
  });

  it('needs a jti', async () => {
    const result = await once().identify(bearer(corpToken({ jti: undefined })), context());
    expect(outcomeOf(result)).to.equal('token_claim_invalid');
  });

  it('is refused with store_unavailable when the store is full', async () => {
    const result = await once(0).identify(bearer(corpToken()), context());
    expect(outcomeOf(result)).to.equal('store_unavailable');
  });

  it('is not spent by a refusal', async () => {
    const identifier = once();
    const bad = bearer(corpToken({}, {}, { ...otherKey, kid: 'corp-1' }));
    await identifier.identify(bad, context('a'));
    expect(outcomeOf(await identifier.identify(bearer(corpToken()), context('b')))).to.equal(ok);
  });
});
