/** GET /: what this is, for whoever opens the address. */

import { Elysia } from 'elysia'
import { textResponse } from './error-table.ts'
import { onlyGet } from './methods.ts'

export function homeRoute(version: string) {
  return new Elysia({ name: 'home' })
    .get('/', ({ request }) =>
      textResponse(
        200,
        `oci-chartrepo ${version}: a Helm chart repository in front of an OCI registry.

  helm repo add charts ${new URL(request.url).origin}
  helm search repo charts

The index is at /index.yaml.`,
      ),
    )
    .all('/', onlyGet)
}
