/** What can be told of a host by its name alone. Names are as `URL.hostname` writes them. */

export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/\.$/, '')
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

const PRIVATE_IPV4 =
  /^(?:0|10|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.(?:\d+\.)*\d+$/

/** An address of this link alone, where clouds keep their instances' credentials. */
export function isLinkLocalHost(hostname: string): boolean {
  return /^(?:169\.254\.\d+\.\d+|\[fe[89ab])/i.test(hostname)
}

/** An address literal that the public Internet does not route: loopback, private, link-local, unspecified. */
export function isPrivateHost(hostname: string): boolean {
  const host = hostname.replace(/\.$/, '')
  return isLoopbackHost(host) || /^\[(?:::|f[cd]|fe[89ab])/i.test(host) || PRIVATE_IPV4.test(host)
}
