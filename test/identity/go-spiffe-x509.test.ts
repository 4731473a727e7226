import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { GeneralName, GeneralSubtree, GeneralSubtrees, NameConstraints } from '@peculiar/asn1-x509';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { expect } from 'chai';
import fc from 'fast-check';
import { before, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import { createPeerReader } from '../../src/identity/peer.js';
import { describeGo } from '../support/go-program.js';
import { askGo, buildGoSpiffe, type GoTrust } from '../support/go-spiffe.js';
import { bundlesOf, requestOf } from './fixtures.js';

const hourMs = 3_600_000;
const clientAuth = '1.3.6.1.5.5.7.3.2';
const serverAuth = '1.3.6.1.5.5.7.3.1';
const bot = 'spiffe://prod.example/ns/a/sa/bot';
const at = Math.floor(Date.now() / 1000);

const algorithms = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'P-256 with SHA-1': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-1' },
  RSA: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  'RSA with SHA-1': {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-1',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  'RSA of 1024 bits': {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 1024,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  Ed25519: { name: 'Ed25519' },
} as const;
type Kind = keyof typeof algorithms;

interface Signer {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly kind: Kind;
}

const generate = async (kind: Kind) =>
  (await webcrypto.subtle.generateKey(algorithms[kind] as never, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;

const authorityExtensions: readonly Extension[] = [
  new BasicConstraintsExtension(true, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
];

interface AuthorityOptions {
  readonly name?: string;
  readonly kind?: Kind;
  readonly extensions?: readonly Extension[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly by?: Signer;
}

const from = (ms: number) => new Date(at * 1000 + ms);

async function newAuthority(options: AuthorityOptions = {}): Promise<Signer> {
  const { kind = 'P-256', name = 'prod.example', by } = options;
  const keys = await generate(kind);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: '01',
    subject: `CN=${name}`,
    issuer: by?.certificate.subject ?? `CN=${name}`,
    notBefore: options.notBefore ?? from(-hourMs),
    notAfter: options.notAfter ?? from(24 * hourMs),
    signingAlgorithm: algorithms[by?.kind ?? kind] as never,
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    extensions: [...(options.extensions ?? authorityExtensions)],
  });
  return { certificate, keys, kind };
}

interface LeafOptions {
  readonly names?: readonly JsonGeneralName[];
  readonly isAuthority?: boolean;
  readonly constraints?: readonly Extension[];
  readonly usage?: readonly Extension[];
  readonly extended?: readonly Extension[];
  readonly more?: readonly Extension[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly kind?: Kind;
  readonly issuer?: string;
}

const url = (value: string): JsonGeneralName => ({ type: 'url', value });
const dns = (value: string): JsonGeneralName => ({ type: 'dns', value });

let serial = 1;
async function newLeaf(signer: Signer, options: LeafOptions = {}): Promise<X509Certificate> {
  const keys = await generate(options.kind ?? 'P-256');
  const names = options.names ?? [url(bot)];
  serial += 1;
  return await X509CertificateGenerator.create({
    serialNumber: serial.toString(16).padStart(6, '0'),
    subject: 'O=Countersign',
    issuer: options.issuer ?? signer.certificate.subject,
    notBefore: options.notBefore ?? from(-hourMs),
    notAfter: options.notAfter ?? from(hourMs),
    signingAlgorithm: algorithms[signer.kind] as never,
    publicKey: keys.publicKey,
    signingKey: signer.keys.privateKey,
    extensions: [
      ...(options.constraints ?? [new BasicConstraintsExtension(false, undefined, true)]),
      ...(options.usage ?? [new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true)]),
      ...(options.extended ?? [new ExtendedKeyUsageExtension([serverAuth, clientAuth])]),
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension([...names])]),
      ...(options.more ?? []),
    ],
  });
}

function subtree(name: GeneralName) {
  return new GeneralSubtrees([new GeneralSubtree({ base: name })]);
}

function nameConstraints(permitted?: GeneralName, excluded?: GeneralName): Extension {
  const value = new NameConstraints({
    ...(permitted === undefined ? {} : { permittedSubtrees: subtree(permitted) }),
    ...(excluded === undefined ? {} : { excludedSubtrees: subtree(excluded) }),
  });
  return new Extension('2.5.29.30', true, AsnConvert.serialize(value));
}
const uriName = (text: string) => new GeneralName({ uniformResourceIdentifier: text });
const dnsName = (text: string) => new GeneralName({ dNSName: text });

const unknownCritical = new Extension('1.3.6.1.4.1.99999.1', true, new Uint8Array([5, 0]));
const usage = (flags: number, critical = true) => [new KeyUsagesExtension(flags, critical)];

/** One certificate under one bundle. Where go-spiffe is laxer, the rule that refuses it here. */
interface Row {
  readonly name: string;
  readonly authority?: AuthorityOptions;
  /** Another signer than the authority of the bundle. */
  readonly by?: (authority: Signer) => Promise<Signer>;
  readonly leaf?: LeafOptions;
  /** Both opinions agree on this; absent: both refuse. */
  readonly isGood?: true;
  readonly stricter?: string;
}

const certSign = KeyUsageFlags.keyCertSign;
const rows: readonly Row[] = [
  { name: 'a good one', isGood: true },
  { name: 'RSA all the way', authority: { kind: 'RSA' }, leaf: { kind: 'RSA' }, isGood: true },
  {
    name: 'P-384 all the way',
    authority: { kind: 'P-384' },
    leaf: { kind: 'P-384' },
    isGood: true,
  },
  { name: 'an Ed25519 authority', authority: { kind: 'Ed25519' }, isGood: true },
  { name: 'DNS names beside the id', leaf: { names: [dns('a.example'), url(bot)] }, isGood: true },
  { name: 'no extended key usage', leaf: { extended: [] }, isGood: true },
  {
    name: 'more key usages',
    leaf: { usage: usage(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment) },
    isGood: true,
  },
  { name: 'no basic constraints', leaf: { constraints: [] }, isGood: true },
  { name: 'no URI SAN', leaf: { names: [dns('a.example')] } },
  { name: 'no SAN', leaf: { names: [] } },
  { name: 'two URI SANs', leaf: { names: [url(bot), url(`${bot}2`)] } },
  { name: 'the same URI SAN twice', leaf: { names: [url(bot), url(bot)] } },
  { name: 'a web URI before the id', leaf: { names: [url('https://a.example/'), url(bot)] } },
  { name: 'a web URI alone', leaf: { names: [url('https://a.example/')] } },
  { name: 'a trust domain without bundle', leaf: { names: [url('spiffe://evil.example/x')] } },
  { name: 'a trust domain in upper case', leaf: { names: [url('spiffe://PROD.example/x')] } },
  { name: 'a percent-encoded path', leaf: { names: [url('spiffe://prod.example/%61')] } },
  { name: 'a trailing slash', leaf: { names: [url('spiffe://prod.example/a/')] } },
  { name: 'dot segments', leaf: { names: [url('spiffe://prod.example/../a')] } },
  { name: 'a query', leaf: { names: [url(`${bot}?x`)] } },
  { name: 'a port', leaf: { names: [url('spiffe://prod.example:1/a')] } },
  { name: 'a user', leaf: { names: [url('spiffe://u@prod.example/a')] } },
  {
    name: 'an authority as leaf',
    leaf: { constraints: [new BasicConstraintsExtension(true, undefined, true)] },
  },
  {
    name: 'a leaf that may sign certificates',
    leaf: { usage: usage(KeyUsageFlags.digitalSignature | certSign) },
  },
  {
    name: 'a leaf that may sign revocation lists',
    leaf: { usage: usage(KeyUsageFlags.digitalSignature | KeyUsageFlags.cRLSign) },
  },
  { name: 'an expired one', leaf: { notBefore: from(-3 * hourMs), notAfter: from(-hourMs) } },
  { name: 'one of tomorrow', leaf: { notBefore: from(hourMs), notAfter: from(2 * hourMs) } },
  { name: 'dates that end now', leaf: { notAfter: from(0) }, isGood: true },
  { name: 'dates that ended a second ago', leaf: { notAfter: from(-1000) } },
  { name: 'dates that begin now', leaf: { notBefore: from(0) }, isGood: true },
  { name: 'dates that begin in a second', leaf: { notBefore: from(1000) } },
  { name: 'dates in the wrong order', leaf: { notBefore: from(hourMs), notAfter: from(-hourMs) } },
  { name: 'a signer of the same name that is not in the bundle', by: () => newAuthority() },
  { name: 'a signer of another name', by: () => newAuthority({ name: 'evil' }) },
  { name: 'the key of the authority under another issuer', leaf: { issuer: 'CN=somebody' } },
  {
    name: 'an intermediate that is not in the bundle',
    by: (authority) => newAuthority({ name: 'intermediate', by: authority }),
  },
  {
    name: 'the authority of another trust domain',
    leaf: { names: [url('spiffe://partner.example/x')] },
  },
  {
    name: 'an expired authority',
    authority: { notBefore: from(-9 * hourMs), notAfter: from(-hourMs) },
  },
  { name: 'an authority of tomorrow', authority: { notBefore: from(hourMs) } },
  {
    name: 'an authority that is none',
    authority: {
      extensions: [new BasicConstraintsExtension(false, undefined, true), ...usage(certSign)],
    },
  },
  { name: 'an authority without basic constraints', authority: { extensions: usage(certSign) } },
  {
    name: 'an authority that may not sign certificates',
    authority: {
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        ...usage(KeyUsageFlags.digitalSignature),
      ],
    },
  },
  {
    name: 'an authority for leaves alone',
    authority: { extensions: [new BasicConstraintsExtension(true, 0, true), ...usage(certSign)] },
    isGood: true,
  },
  { name: 'an unknown critical extension', leaf: { more: [unknownCritical] } },
  {
    name: 'an unknown extension that is not critical',
    leaf: { more: [new Extension('1.3.6.1.4.1.99999.1', false, new Uint8Array([5, 0]))] },
    isGood: true,
  },
  {
    name: 'an unknown critical extension of the authority',
    authority: { extensions: [...authorityExtensions, unknownCritical] },
  },
  { name: 'an extension twice', leaf: { more: usage(KeyUsageFlags.digitalSignature) } },
  { name: 'SHA-1 by an elliptic curve', authority: { kind: 'P-256 with SHA-1' } },
  { name: 'SHA-1 by RSA', authority: { kind: 'RSA with SHA-1' } },
  {
    name: 'an authority for this trust domain',
    authority: { extensions: [...authorityExtensions, nameConstraints(uriName('prod.example'))] },
    isGood: true,
  },
  {
    name: 'an authority for another trust domain',
    authority: { extensions: [...authorityExtensions, nameConstraints(uriName('other.example'))] },
  },
  {
    name: 'an authority for domains below',
    authority: { extensions: [...authorityExtensions, nameConstraints(uriName('.example'))] },
    isGood: true,
  },
  {
    name: 'an authority not for this trust domain',
    authority: {
      extensions: [...authorityExtensions, nameConstraints(undefined, uriName('prod.example'))],
    },
  },
  {
    name: 'an authority not for another one',
    authority: {
      extensions: [...authorityExtensions, nameConstraints(undefined, uriName('other.example'))],
    },
    isGood: true,
  },
  {
    name: 'an authority for DNS names of another domain',
    authority: { extensions: [...authorityExtensions, nameConstraints(dnsName('b.example'))] },
    leaf: { names: [dns('a.example'), url(bot)] },
  },
  {
    name: 'an authority for DNS names that the leaf has',
    authority: { extensions: [...authorityExtensions, nameConstraints(dnsName('a.example'))] },
    leaf: { names: [dns('x.a.example'), url(bot)] },
    isGood: true,
  },
  {
    name: 'an authority for DNS names, and a leaf without',
    authority: { extensions: [...authorityExtensions, nameConstraints(dnsName('a.example'))] },
    isGood: true,
  },
  // go-spiffe takes these.
  {
    name: 'a scheme in upper case',
    leaf: { names: [url('SPIFFE://prod.example/x')] },
    stricter: 'SPIFFE-ID §2.1: the scheme is lower-case, and is not folded',
  },
  {
    name: 'an id without path',
    leaf: { names: [url('spiffe://prod.example')] },
    stricter: 'X509-SVID §5.2: a leaf has a path',
  },
  { name: 'no key usage', leaf: { usage: [] }, stricter: 'X509-SVID §4.3: key usage is set' },
  {
    name: 'a key usage that is not critical',
    leaf: { usage: usage(KeyUsageFlags.digitalSignature, false) },
    stricter: 'X509-SVID §4.3: and critical',
  },
  {
    name: 'a key that may not sign',
    leaf: { usage: usage(KeyUsageFlags.keyEncipherment) },
    stricter: 'X509-SVID §4.3: digitalSignature',
  },
  {
    name: 'an extended key usage for servers alone',
    leaf: { extended: [new ExtendedKeyUsageExtension([serverAuth])] },
    stricter: 'X509-SVID §4.4: a client has clientAuth',
  },
  {
    name: 'a leaf of 1024 bits',
    leaf: { kind: 'RSA of 1024 bits' },
    stricter: 'RSA has 2048 bits',
  },
  {
    name: 'an authority of 1024 bits',
    authority: { kind: 'RSA of 1024 bits' },
    stricter: 'RSA has 2048 bits',
  },
];

/** The principal that Envoy takes from a certificate: the first URI SAN, else DNS, else the Subject. */
function principalOf(certificate: X509Certificate): string {
  const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  const first = (type: string) => names.find((name) => name.type === type)?.value;
  return first('url') ?? first('dns') ?? certificate.subject;
}

describeGo("go-spiffe's validator and this one, of the same certificates", () => {
  let program: string;
  before(function () {
    this.timeout(300_000);
    program = buildGoSpiffe();
  });

  const prepare = async (row: Pick<Row, 'authority' | 'by' | 'leaf'>) => {
    const authority = await newAuthority(row.authority);
    const partner = await newAuthority({ name: 'partner.example' });
    const leaf = await newLeaf(await (row.by?.(authority) ?? authority), row.leaf);
    const der = (one: Signer) => Buffer.from(one.certificate.rawData);
    const authorities = { 'prod.example': der(authority), 'partner.example': der(partner) };
    const own = ownOpinion(leaf, authorities);
    const bundles = Object.entries(authorities).map(([name, one]) => [
      name,
      { jwks: '{"keys":[]}', authorities: one },
    ]);
    const trust: GoTrust = { audience: ['x'], bundles: Object.fromEntries(bundles) };
    const value = Buffer.from(leaf.rawData).toString('base64');
    return { own, question: { kind: 'x509' as const, value, at, trust } };
  };

  for (const row of rows) {
    const rule = row.stricter === undefined ? '' : `, where ${row.stricter}`;
    const want = { own: row.isGood === true, go: row.isGood === true || rule !== '' };
    const verb = want.own ? 'accepted by both' : rule === '' ? 'refused by both' : 'refused here';
    it(`${row.name}: ${verb}${rule}`, async () => {
      const { own, question } = await prepare(row);
      const [go] = askGo(program, [question]);
      const why = `here: ${own}; go-spiffe: ${go?.why}`;
      expect({ own: own === 'good', go: go?.ok }, why).to.deep.equal(want);
    });
  }

  it('are never laxer here, nor stricter without a named rule, over seeded pairs of those faults', async () => {
    const quick = rows.filter(
      ({ authority, leaf }) => !`${authority?.kind}${leaf?.kind}`.includes('RSA'),
    );
    const pairs = fc.sample(fc.tuple(fc.constantFrom(...quick), fc.constantFrom(...quick)), {
      seed: 20261124,
      numRuns: 300,
    });
    const prepared = await Promise.all(
      pairs.map(([a, b]) => {
        const by = b.by ?? a.by;
        const merged = {
          authority: { ...a.authority, ...b.authority },
          leaf: { ...a.leaf, ...b.leaf },
        };
        return prepare(by === undefined ? merged : { ...merged, by });
      }),
    );
    const go = askGo(
      program,
      prepared.map(({ question }) => question),
    );
    const unexplained = prepared.flatMap(({ own }, index) => {
      const [a, b] = pairs[index] ?? [];
      const isGo = go[index]?.ok === true;
      const isExplained = a?.stricter !== undefined || b?.stricter !== undefined;
      const isLaxer = own === 'good' && !isGo;
      const isStricter = own !== 'good' && isGo && !isExplained;
      return isLaxer || isStricter ? [`${a?.name} + ${b?.name}: ${own}; ${go[index]?.why}`] : [];
    });
    expect(unexplained).to.deep.equal([]);
    expect(go.filter(({ ok }) => ok)).to.have.length.greaterThan(30);
    expect(prepared.filter(({ own }) => own === 'good')).to.have.length.greaterThan(20);
  }).timeout(120_000);
});

/** `good`, or why this project refuses the certificate where Envoy sends it. */
function ownOpinion(
  leaf: X509Certificate,
  authorities: Readonly<Record<string, Uint8Array>>,
): string {
  const bundles = new Map(Object.entries(authorities).map(([name, der]) => [name, [der]] as const));
  const readPeer = createPeerReader({
    trustDomains: new Set(['prod.example', 'partner.example', 'evil.example']),
    certificate: 'optional',
    xfcc: 'off',
    bundles: {
      ...bundlesOf({}),
      x509Authorities: (domain) => bundles.get(domain) ?? new Refusal('bundle_unavailable', ''),
    },
  });
  const certificatePem = encodeURIComponent(leaf.toString('pem'));
  const peer = { principal: principalOf(leaf), certificatePem };
  const read = readPeer(requestOf({}, { peer }), at * 1000);
  if (read instanceof Refusal) return `${read.code}: ${read.detail}`;
  return read.identity === undefined ? 'no identity' : 'good';
}
