/** JSON from outside, where the parser's own message must not be used: it quotes the text, which may hold a secret. */

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The document in `text` (bytes are UTF-8), or undefined when it is no JSON. */
export function tryParseJson(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === 'string' ? text : utf8.decode(text))
  } catch {
    // SyntaxError, or TypeError for bytes that are no UTF-8: either way not JSON, which is the answer.
    return undefined
  }
}
