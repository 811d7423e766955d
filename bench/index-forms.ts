/** The forms /index.yaml may be had in, and which of them a server offers. */

export interface IndexForm {
  /** `json-gzip` */
  readonly name: string
  readonly format: 'yaml' | 'json'
  readonly encoding: 'identity' | 'gzip' | 'zstd'
  /** What asks for it. */
  readonly headers: Readonly<Record<string, string>>
}

export interface OfferedForm extends IndexForm {
  /** As sent. */
  readonly bytes: Uint8Array
  readonly contentType: string
}

const ACCEPT = { yaml: 'application/yaml', json: 'application/json' } as const

export const indexForms: readonly IndexForm[] = (['yaml', 'json'] as const).flatMap((format) =>
  (['identity', 'gzip', 'zstd'] as const).map((encoding) => ({
    name: `${format}-${encoding}`,
    format,
    encoding,
    headers: { accept: ACCEPT[format], 'accept-encoding': encoding },
  })),
)

/** The form as the server sends it; undefined when what comes is another one. */
export async function fetchForm(url: string, form: IndexForm): Promise<OfferedForm | undefined> {
  const response = await fetch(`${url}/index.yaml`, { headers: form.headers, decompress: false })
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`GET /index.yaml as ${form.name} was answered with ${response.status}`)
  const contentType = response.headers.get('content-type') ?? ''
  const encoding = response.headers.get('content-encoding') ?? 'identity'
  const format = contentType.includes('json') ? 'json' : 'yaml'
  return encoding === form.encoding && format === form.format ? { ...form, bytes, contentType } : undefined
}

export function decode({ encoding, bytes }: OfferedForm): string {
  const plain =
    encoding === 'gzip'
      ? Bun.gunzipSync(new Uint8Array(bytes))
      : encoding === 'zstd'
        ? Bun.zstdDecompressSync(new Uint8Array(bytes))
        : bytes
  return new TextDecoder().decode(plain)
}
