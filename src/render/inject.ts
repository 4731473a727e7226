import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  parseAllDocuments,
  type YAMLMap,
  YAMLSeq,
} from 'yaml';
import { plainOf } from './annotated.js';
import {
  containerName,
  type PodOptions,
  podVolumes,
  sidecarContainer,
  socketVolume,
  userId,
} from './pod.js';

export interface Injected {
  readonly text: string;
  /** What was done to each object, in order: one sentence each. */
  readonly said: readonly string[];
}

/** Where each kind has the pod. */
const podPaths: Readonly<Record<string, readonly string[]>> = {
  Pod: ['spec'],
  Deployment: ['spec', 'template', 'spec'],
  StatefulSet: ['spec', 'template', 'spec'],
  DaemonSet: ['spec', 'template', 'spec'],
  ReplicaSet: ['spec', 'template', 'spec'],
  Job: ['spec', 'template', 'spec'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template', 'spec'],
};

/** Which containers get the socket. */
export interface Proxies {
  /** Names of containers of the manifest that run Envoy. */
  readonly names: readonly string[];
  /** Whether Istio's injector adds its proxy later, which an annotation tells to mount the socket. */
  readonly isIstio: boolean;
}

/**
 * Adds the sidecar to every pod of a stream of manifests. Comments and order stay; an object that
 * has it already, or has no pod, stays as it is. A text that is no YAML gives its first error.
 */
export function injectSidecar(
  text: string,
  options: PodOptions,
  proxies: Proxies,
): Injected | { readonly error: string } {
  const documents = parseAllDocuments(text, { keepSourceTokens: true });
  if (documents.length === 0) return { text, said: ['the input is empty'] };
  for (const { errors } of documents) {
    const [error] = errors;
    if (error !== undefined) return { error: error.message.split('\n')[0] ?? 'this is no YAML' };
  }
  const said: string[] = [];
  let changed = false;
  for (const document of documents) {
    for (const object of objectsOf(document.contents)) {
      const result = injectObject(document, object, options, proxies);
      said.push(`${nameOf(object)}: ${result.said}`);
      changed ||= result.changed;
    }
  }
  return { text: changed ? write(documents, text) : text, said };
}

/** The objects of a document: itself, or the items of a List. */
function objectsOf(contents: unknown): readonly YAMLMap[] {
  if (!isMap(contents)) return [];
  const items = contents.get('items');
  return isSeq(items) ? items.items.flatMap(objectsOf) : [contents];
}

function nameOf(object: YAMLMap): string {
  const name = object.getIn(['metadata', 'name']) ?? object.getIn(['metadata', 'generateName']);
  return `${String(object.get('kind') ?? 'an object without kind')} ${String(name ?? '')}`.trim();
}

interface Outcome {
  readonly changed: boolean;
  readonly said: string;
}

function injectObject(
  document: Document,
  object: YAMLMap,
  options: PodOptions,
  proxies: Proxies,
): Outcome {
  const path = podPaths[String(object.get('kind'))];
  if (path === undefined) return { changed: false, said: 'has no pod, left as it is' };
  const pod = object.getIn(path);
  if (!isMap(pod)) return { changed: false, said: `has no ${path.join('.')}, left as it is` };
  const containers = [...listOf(pod, 'initContainers'), ...listOf(pod, 'containers')];
  if (containers.some((container) => container.get('name') === containerName)) {
    return { changed: false, said: `has a container ${containerName} already, left as it is` };
  }
  const notes = [
    ...addContainer(document, pod, options),
    ...addVolumes(document, pod, options),
    ...shareSocket(document, pod, options, proxies),
    ...(proxies.isIstio ? annotate(document, object, path, options) : []),
    ...doubtsOf(pod, containers, options),
  ];
  return {
    changed: true,
    said: `the sidecar is added${notes.map((note) => `; ${note}`).join('')}`,
  };
}

function listOf(pod: YAMLMap, key: string): readonly YAMLMap[] {
  const list = pod.get(key);
  return isSeq(list) ? list.items.filter((item) => isMap(item)) : [];
}

/**
 * First of all: what starts after it finds it ready, and it ends after them. A new list stands behind
 * `containers`, whose comment would else be about it.
 */
function addContainer(document: Document, pod: YAMLMap, options: PodOptions): readonly string[] {
  const container = document.createNode(plainOf(sidecarContainer(options)));
  const list = pod.get('initContainers');
  if (isSeq(list)) {
    list.items.unshift(container);
    return list.items.length > 1 ? ['before the other init containers'] : [];
  }
  const added = new YAMLSeq();
  added.items.push(container);
  const pair = document.createPair('initContainers', added);
  const at = pod.items.findIndex(({ key }) => isScalar(key) && key.value === 'containers');
  pod.items.splice(at + 1, 0, pair);
  return [];
}

function addVolumes(document: Document, pod: YAMLMap, options: PodOptions): readonly string[] {
  const present = new Set(listOf(pod, 'volumes').map((volume) => volume.get('name')));
  const notes: string[] = [];
  for (const tree of podVolumes(options)) {
    const volume = document.createNode(plainOf(tree)) as YAMLMap;
    const name = volume.get('name');
    if (present.has(name)) notes.push(`its own volume ${String(name)} is used`);
    else append(document, pod, 'volumes', volume);
  }
  return notes;
}

function append(document: Document, map: YAMLMap, key: string, item: unknown): void {
  const list = map.get(key);
  if (isSeq(list)) list.add(item);
  else map.set(key, document.createNode([item]));
}

/** The group by which Envoy's container may use the socket, and the mount there. */
function shareSocket(
  document: Document,
  pod: YAMLMap,
  { socketFolder }: PodOptions,
  proxies: Proxies,
): readonly string[] {
  if (socketFolder === undefined) return [];
  const notes: string[] = [];
  const group = pod.getIn(['securityContext', 'fsGroup']);
  if (group === undefined) {
    if (!isMap(pod.get('securityContext'))) pod.set('securityContext', document.createNode({}));
    pod.setIn(['securityContext', 'fsGroup'], userId);
  } else notes.push(`its own fsGroup ${String(group)} is kept`);
  const found = listOf(pod, 'containers').filter((container) =>
    proxies.names.includes(String(container.get('name'))),
  );
  for (const container of found) {
    const mount = document.createNode({ name: socketVolume, mountPath: socketFolder });
    append(document, container, 'volumeMounts', mount);
    notes.push(`${String(container.get('name'))} gets the socket`);
  }
  if (found.length === 0 && !proxies.isIstio) {
    const names = proxies.names.join(' or ');
    notes.push(`no container ${names} gets the socket: name Envoy's with --proxy, or use --istio`);
  }
  return notes;
}

const mountAnnotation = 'sidecar.istio.io/userVolumeMount';

/** Istio's injector adds the mounts of this annotation to its proxy. */
function annotate(
  document: Document,
  object: YAMLMap,
  podPath: readonly string[],
  { socketFolder }: PodOptions,
): readonly string[] {
  if (socketFolder === undefined) return [];
  const path = [...podPath.slice(0, -1), 'metadata', 'annotations'];
  if (object.getIn([...path, mountAnnotation]) !== undefined) {
    return [`its own ${mountAnnotation} is kept: add ${socketVolume} at ${socketFolder}`];
  }
  const value = JSON.stringify([{ name: socketVolume, mountPath: socketFolder }]);
  if (!isMap(object.getIn(path))) object.setIn(path, document.createNode({}));
  object.setIn([...path, mountAnnotation], value);
  return ['istio-proxy gets the socket'];
}

function doubtsOf(
  pod: YAMLMap,
  containers: readonly YAMLMap[],
  { adminPort }: PodOptions,
): readonly string[] {
  const ports = containers.flatMap((container) =>
    listOf(container, 'ports').map((port) => port.get('containerPort')),
  );
  return [
    ...(ports.includes(adminPort) ? [`warning: another container has port ${adminPort}`] : []),
    ...(pod.get('hostNetwork') === true
      ? [`warning: with hostNetwork port ${adminPort} is the node's`]
      : []),
  ];
}

/** As the source is written: lists at the level of their key or below it, brackets with blanks or not. */
function write(documents: readonly Document[], source: string): string {
  const isJson = source.trimStart().startsWith('{');
  const options = {
    lineWidth: 0,
    indentSeq: !/^( *)(?:- )?[\w.-]+:\n\1- /m.test(source),
    flowCollectionPadding: !/[:\s][{[][^\s{}[\]]/.test(source),
  };
  return documents
    .map((document, at) => {
      if (isJson) return `${JSON.stringify(document.toJS(), null, 2)}\n`;
      const text = document.toString({ ...options, directives: null });
      const isOpened = at > 0 || source.startsWith('---');
      return `${isOpened && !text.startsWith('---') ? '---\n' : ''}${text.endsWith('\n') ? text : `${text}\n`}`;
    })
    .join('');
}
