const maxBytes = 4096;

/**
 * Text as a header value that any HTTP version carries unchanged: visible ASCII stays, every other
 * byte of its UTF-8 and `%` itself are percent-encoded (RFC 9110 §5.5). Undefined when there is
 * nothing to say or it is longer than 4 KiB: an empty or cut value would name somebody else.
 */
export function headerValue(text: string): string | undefined {
  if (text === '') return undefined;
  const encoded = visibleAscii.test(text) ? text : encode(text);
  return encoded.length <= maxBytes ? encoded : undefined;
}

const visibleAscii = /^[!-$&-~]*$/;

function encode(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x25;
    encoded += plain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
