import {
  type Document,
  isAlias,
  isNode,
  LineCounter,
  parseAllDocuments,
  parseDocument,
} from 'yaml';
import { z } from 'zod';
import type { Finding } from '../document/finding.js';

const provider = z.looseObject({
  name: z.string(),
  envoyExtAuthzGrpc: z
    .looseObject({
      service: z.string(),
      port: z.number(),
      timeout: z.string().optional(),
      failOpen: z.boolean().optional(),
      includeRequestBodyInCheck: z
        .looseObject({
          maxRequestBytes: z.number().optional(),
          allowPartialMessage: z.boolean().optional(),
          packAsBytes: z.boolean().optional(),
        })
        .optional(),
    })
    .optional(),
});
const policy = z.looseObject({
  kind: z.literal('AuthorizationPolicy'),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  spec: z.looseObject({
    action: z.literal('CUSTOM'),
    provider: z.looseObject({ name: z.string() }),
    rules: z.array(z.looseObject({})).optional(),
  }),
});
const sidecar = z.looseObject({
  kind: z.literal('Sidecar'),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  spec: z.looseObject({
    egress: z.array(
      z.looseObject({
        hosts: z.array(z.string()),
        port: z.looseObject({ number: z.number() }).optional(),
      }),
    ),
  }),
});

type Say = (path: readonly (string | number)[], code: string, message: string) => Finding;

/** Something of an Istio file, which knows where it stands. */
interface Placed<T> {
  readonly value: T;
  readonly say: Say;
}

export type Provider = Placed<z.output<typeof provider>>;

/** What Istio files say of providers and of who asks them; everything else in them is passed over. */
export interface IstioFiles {
  readonly findings: readonly Finding[];
  readonly hasMesh: boolean;
  readonly providers: readonly Provider[];
  readonly policies: readonly Placed<z.output<typeof policy>>[];
  readonly sidecars: readonly Placed<z.output<typeof sidecar>>[];
}

/** Where a document has its MeshConfig: itself, an IstioOperator, Helm values. */
const meshPaths = [[], ['spec', 'meshConfig'], ['meshConfig']] as const;

/** Reads MeshConfig, AuthorizationPolicy and Sidecar from streams of YAML, in whatever they are wrapped. */
export function readIstioFiles(
  texts: readonly { readonly file: string; readonly text: string }[],
): IstioFiles {
  const findings: Finding[] = [];
  const providers: Provider[] = [];
  const policies: IstioFiles['policies'][number][] = [];
  const sidecars: IstioFiles['sidecars'][number][] = [];
  let hasMesh = false;
  for (const { file, text } of texts) {
    const lines = new LineCounter();
    const documents = parseAllDocuments(text, { lineCounter: lines });
    for (const document of Array.isArray(documents) ? documents : []) {
      const [error] = document.errors;
      if (error !== undefined) {
        findings.push(place(file, lines.linePos(error.pos[0]), 'not_yaml', error.message));
        continue;
      }
      const say = sayIn(file, document, lines);
      const value: unknown = document.toJS();
      const custom = policy.safeParse(value);
      if (custom.success) policies.push({ value: custom.data, say });
      const hiding = sidecar.safeParse(value);
      if (hiding.success) sidecars.push({ value: hiding.data, say });
      const found = readMesh(document, say);
      hasMesh ||= found !== undefined;
      providers.push(...(found ?? []));
    }
  }
  return { findings, hasMesh, providers, policies, sidecars };
}

function readMesh(document: Document, say: Say): readonly Provider[] | undefined {
  for (const path of meshPaths) {
    const at = [...path, 'extensionProviders'];
    const found = providersOf(document, at);
    if (found !== undefined) {
      return found.map(({ index, value }) => ({
        value,
        say: (inner, code, message) => say([...at, index, ...inner], code, message),
      }));
    }
  }
  const nested = document.getIn(['data', 'mesh']);
  if (typeof nested !== 'string') return undefined;
  const sayHere: Say = (_, code, message) => say(['data', 'mesh'], code, message);
  return (providersOf(parseDocument(nested), ['extensionProviders']) ?? []).map(({ value }) => ({
    value,
    say: sayHere,
  }));
}

function providersOf(document: Document, at: readonly (string | number)[]) {
  const node = document.getIn(at, true);
  if (!isNode(node) || isAlias(node)) return undefined;
  const list: unknown = node.toJS(document);
  return (Array.isArray(list) ? list : []).flatMap((item, index) => {
    const parsed = provider.safeParse(item);
    return parsed.success ? [{ index, value: parsed.data }] : [];
  });
}

function sayIn(file: string, document: Document, lines: LineCounter): Say {
  return (path, code, message) => {
    for (let length = path.length; length >= 0; length -= 1) {
      const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) {
        return place(file, lines.linePos(node.range[0]), code, message, path.join('.'));
      }
    }
    return place(file, { line: 1, col: 1 }, code, message);
  };
}

function place(
  file: string,
  at: { readonly line: number; readonly col: number },
  code: string,
  message: string,
  path = '',
): Finding {
  const severity = code === 'not_yaml' ? 'error' : 'warning';
  const [sentence = ''] = message.split('\n');
  const where = { file, line: Math.max(at.line, 1), column: Math.max(at.col, 1), path };
  return { severity, code, ...where, message: sentence, suggestion: undefined };
}
