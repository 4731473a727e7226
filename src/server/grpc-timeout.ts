const unitMs: ReadonlyMap<string, number> = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1_000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
]);

/**
 * The header `grpc-timeout` in milliseconds: one to eight digits and a unit (gRPC over HTTP/2,
 * Timeout). Undefined when it is absent or something else.
 */
export function parseGrpcTimeout(text: string | readonly string[] | undefined): number | undefined {
  const [, digits, unit = ''] =
    /^([0-9]{1,8})([HMSmun])$/.exec(typeof text === 'string' ? text : '') ?? [];
  const scale = unitMs.get(unit);
  return scale === undefined ? undefined : Number(digits) * scale;
}
