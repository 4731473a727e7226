export type Verdict = 'permit' | 'deny' | 'wrong';

const lengthDelimited = 2;
const codeField = 0x08;

/**
 * What a CheckResponse says, by its own bytes and as Envoy reads it: status 0 with `ok_response`
 * alone is a permit, any other status with `denied_response` alone is a deny. All else is wrong.
 * Written apart from `src/wire/`, so that the two check each other, and so that an answer costs the
 * generator next to nothing.
 */
export function verdictOf(data: Uint8Array, from: number, to: number): Verdict {
  let at = from;
  let status: number | undefined;
  let isOk = false;
  let isDenied = false;
  while (at < to) {
    const tag = data[at] ?? 0;
    at += 1;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = data[at] ?? 0;
      at += 1;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if ((tag & 7) !== lengthDelimited || at + length > to) return 'wrong';
    const field = tag >> 3;
    if (field === 1) status = length === 0 ? 0 : codeOf(data, at);
    else if (field === 2) isDenied = true;
    else if (field === 3) isOk = true;
    else if (field !== 4) return 'wrong';
    at += length;
  }
  if (status === 0 && isOk && !isDenied) return 'permit';
  return status !== undefined && status > 0 && isDenied && !isOk ? 'deny' : 'wrong';
}

/** google.rpc.Status.code of one byte; a message of a status without a code is none. */
function codeOf(data: Uint8Array, at: number): number | undefined {
  return data[at] === codeField ? data[at + 1] : undefined;
}
