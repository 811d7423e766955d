/** GET /: what this is, for whoever opens the address. */

import { Elysia } from 'elysia'
import { textResponse } from './error-table.ts'
import { onlyGet } from './methods.ts'

export function homeRoute({ version, hasRegistry }: { readonly version: string; readonly hasRegistry: boolean }) {
  return new Elysia({ name: 'home' })
    .get('/', ({ request }) => {
      const { origin, host } = new URL(request.url)
      const push = hasRegistry ? `  helm push demo-1.0.0.tgz oci://${host}/charts --plain-http\n` : ''
      return textResponse(
        200,
        `oci-chartrepo ${version}: a Helm chart repository ${hasRegistry ? 'and OCI registry' : 'in front of an OCI registry'}.

${push}  helm repo add charts ${origin}
  helm search repo charts

The index is at /index.yaml.`,
      )
    })
    .all('/', onlyGet)
}
