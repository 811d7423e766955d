/** Which form of the index a reader gets (RFC 9110, 12.5): said once here, for the answer and for its Vary. */

import Negotiator from 'negotiator'
import type { IndexFormat } from '../helm/index-entry.ts'
import type { Coding } from '../lib/compression.ts'

/** `auto` is JSON for Helm, which reads it several times faster, and for whoever asks for it; YAML for all others. */
export type IndexFormatOption = 'auto' | IndexFormat

export interface IndexForm {
  readonly format: IndexFormat
  /** undefined for the plain bytes: nobody gets others who did not ask for them. */
  readonly coding: Coding | undefined
}

const CONTENT_TYPES = { yaml: 'application/yaml', json: 'application/json' } as const
/** The smaller first: readers mostly list all they know and prefer none. */
const CODINGS = ['zstd', 'gzip'] as const satisfies readonly Coding[]

/** The package's types do not know its option yet (negotiator 1.0, "preferred"). */
interface Preferring {
  encoding(available: readonly string[], options: { readonly preferred: readonly string[] }): string | undefined
}

export function chooseForm(headers: Headers, option: IndexFormatOption): IndexForm {
  const wanted = {
    accept: headers.get('accept') ?? undefined,
    'accept-encoding': headers.get('accept-encoding') ?? undefined,
  }
  const negotiator: Negotiator & Preferring = new Negotiator({ headers: wanted })
  const coding = negotiator.encoding([...CODINGS, 'identity'], { preferred: CODINGS })
  return {
    format: option === 'auto' ? chooseFormat(headers, negotiator) : option,
    coding: CODINGS.find((each) => each === coding),
  }
}

/** What an answer says of its form. */
export function formHeaders({ format, coding }: IndexForm, option: IndexFormatOption): Record<string, string> {
  return {
    'content-type': CONTENT_TYPES[format],
    ...(coding !== undefined && { 'content-encoding': coding }),
    vary: option === 'auto' ? 'Accept, Accept-Encoding, User-Agent' : 'Accept-Encoding',
  }
}

function chooseFormat(headers: Headers, negotiator: Negotiator): IndexFormat {
  if (headers.get('user-agent')?.startsWith('Helm/') === true) return 'json'
  return negotiator.mediaType(Object.values(CONTENT_TYPES)) === CONTENT_TYPES.json ? 'json' : 'yaml'
}
