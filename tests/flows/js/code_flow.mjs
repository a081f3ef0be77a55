// A client of oauth4webapi (https://github.com/panva/oauth4webapi), unmodified, goes through its whole flow and tells
// what it saw, one JSON object a line. It is told what to be by one JSON object on standard input:
//
//   issuer, resource   the authorization server, and the protected resource it wants to call
//   client_id          the URL of its metadata document
//   jwk                its private key, for private_key_jwt; without it the client is public
//   scope              what it asks for
//   par, dpop          whether it pushes its request, and whether it binds its tokens to a key
//
// It is a native application: it listens on a loopback port that nobody knew before, and has a person's browser, which
// is not its own, visit the URL it prints as `visit`.

import { createServer } from 'node:http'
import * as oauth from 'oauth4webapi'

const told = JSON.parse(await new Response(process.stdin).text())
const say = (said) => process.stdout.write(JSON.stringify(said) + '\n')
// The resource of the tests is http on loopback; the authorization server is https, and its CA is given to node.
const insecure = { [oauth.allowInsecureRequests]: true }

const client = { client_id: told.client_id }
const clientAuth = told.jwk ? oauth.PrivateKeyJwt(await privateKey(told.jwk)) : oauth.None()
const dpop = told.dpop ? oauth.DPoP(client, await oauth.generateKeyPair('ES256')) : undefined
const bound = dpop ? { DPoP: dpop } : {}

async function privateKey(jwk) {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  return { kid: jwk.kid, key: await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']) }
}

// A server may want a nonce in each proof: it is in the answer, the handle keeps it, and the request is made again.
async function withNonce(attempt) {
  try {
    return await attempt()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return await attempt()
  }
}

async function discover() {
  const resource = new URL(told.resource)
  const found = await oauth.processResourceDiscoveryResponse(
    resource,
    await oauth.resourceDiscoveryRequest(resource, insecure),
  )
  const issuer = new URL(found.authorization_servers[0])
  return await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }))
}

function listen() {
  const { promise, resolve } = Promise.withResolvers?.() ?? deferred()
  const server = createServer((request, response) => {
    response.end('done')
    resolve(new URL(request.url, 'http://127.0.0.1'))
  })
  return new Promise((ready) => server.listen(0, '127.0.0.1', () => ready({ server, answered: promise })))
}

function deferred() {
  const made = {}
  made.promise = new Promise((resolve) => (made.resolve = resolve))
  return made
}

async function authorize(as, redirect_uri, answered) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const asked = new URLSearchParams({
    client_id: told.client_id,
    response_type: 'code',
    redirect_uri,
    state,
    scope: told.scope,
    resource: told.resource,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })
  const url = new URL(as.authorization_endpoint)
  if (told.par) {
    const pushed = await withNonce(async () =>
      oauth.processPushedAuthorizationResponse(
        as,
        client,
        await oauth.pushedAuthorizationRequest(as, client, clientAuth, asked, bound),
      ),
    )
    say({ pushed: { expires_in: pushed.expires_in } })
    url.search = new URLSearchParams({ client_id: told.client_id, request_uri: pushed.request_uri })
  } else {
    url.search = asked
  }
  say({ visit: url.href })
  // Checks `iss` and `state`, and throws the error of an error response.
  const parameters = oauth.validateAuthResponse(as, client, await answered, state)
  return await withNonce(async () =>
    oauth.processAuthorizationCodeResponse(
      as,
      client,
      await oauth.authorizationCodeGrantRequest(as, client, clientAuth, parameters, redirect_uri, verifier, bound),
    ),
  )
}

// Calls the tool, after judging the token as a resource server by oauth4webapi would (RFC 9068, RFC 9449).
async function call(as, token) {
  const judge = async (url, init) => {
    const claims = await oauth.validateJwtAccessToken(as, new Request(url, init), told.resource, { requireDPoP: !!dpop })
    say({ judged: claims.client_id })
    return await fetch(url, init)
  }
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami' } })
  const headers = new Headers({ 'content-type': 'application/json' })
  const answer = await withNonce(() =>
    oauth.protectedResourceRequest(token, 'POST', new URL(told.resource), headers, body, {
      ...bound,
      ...insecure,
      [oauth.customFetch]: judge,
    }),
  )
  return (await answer.json()).result.structuredContent
}

async function refresh(as, token) {
  return await withNonce(async () =>
    oauth.processRefreshTokenResponse(
      as,
      client,
      await oauth.refreshTokenGrantRequest(as, client, clientAuth, token, {
        ...bound,
        additionalParameters: { resource: told.resource },
      }),
    ),
  )
}

async function clientCredentials(as) {
  const asked = { scope: told.scope, resource: told.resource }
  return await withNonce(async () =>
    oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(as, client, clientAuth, asked, bound),
    ),
  )
}

const shown = ({ token_type, scope, expires_in, refresh_token }) => ({ token_type, scope, expires_in, refresh_token })

const as = await discover()
if (told.credentials) {
  const token = await clientCredentials(as)
  say({ token: shown(token), caller: await call(as, token.access_token) })
} else {
  const { server, answered } = await listen()
  try {
    const first = await authorize(as, `http://127.0.0.1:${server.address().port}/callback`, answered)
    say({ token: shown(first), caller: await call(as, first.access_token) })
    const second = await refresh(as, first.refresh_token)
    say({ refreshed: shown(second), caller: await call(as, second.access_token) })
    const last = second.refresh_token ?? first.refresh_token
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, clientAuth, last, bound))
    const after = await refresh(as, last).then(
      () => 'refreshed',
      (error) => error.error,
    )
    say({ revoked: after })
  } finally {
    server.close()
    server.closeAllConnections()
  }
}
