/** The index in every form, held in memory: each form has bytes of its own, and every opening is counted. */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { IndexFormat } from '../../src/helm/index-entry.ts'
import type { IndexFormatOption } from '../../src/http/index-negotiation.ts'
import type { Coding } from '../../src/lib/compression.ts'
import type { PublishedIndex } from '../../src/repository/published-index.ts'

export const TEXTS = {
  yaml: 'apiVersion: v1\nentries:\n  demo:\n    - name: demo\n      version: 1.2.3+b\n',
  json: '{"apiVersion":"v1","entries":{"demo":[{"name":"demo","version":"1.2.3+b"}]}}\n',
} as const satisfies Record<IndexFormat, string>

export const CODINGS = [undefined, 'gzip', 'zstd'] as const satisfies readonly (Coding | undefined)[]

export interface HeldIndex extends PublishedIndex {
  /** What each form is made of. */
  bytesOf(format: IndexFormat, coding?: Coding): Buffer<ArrayBuffer>
  /** The forms that were opened, in order: `json gzip`. */
  readonly opened: string[]
}

/** As the maker does, it has no form that the option leaves out. */
export function heldIndex(option: IndexFormatOption): HeldIndex {
  const opened: string[] = []
  const bytesOf = (format: IndexFormat, coding?: Coding): Buffer<ArrayBuffer> => {
    const plain = Buffer.from(TEXTS[format])
    if (coding === undefined) return plain
    return Buffer.from(coding === 'gzip' ? gzipSync(plain) : zstdCompressSync(plain))
  }
  return {
    key: 'f'.repeat(64),
    charts: 1,
    versions: 1,
    plainBytes: 1,
    opened,
    bytesOf,
    document: (format, coding) => {
      if (option !== 'auto' && option !== format) throw new TypeError(`There is no index.${format}`)
      const bytes = bytesOf(format, coding)
      return {
        etag: `"${Bun.CryptoHasher.hash('sha256', bytes, 'hex')}"`,
        size: bytes.byteLength,
        coding,
        open: async () => {
          opened.push(`${format} ${coding ?? 'plain'}`)
          return new Blob([bytes])
        },
      }
    },
  }
}
