// An OpenID provider on loopback with an issuer that has a path, keys made at start, and nothing kept.
//
//   node server.mjs FOLDER [TTL]   FOLDER holds node_modules, TTL is JSON such as {"IdToken": 50}
//
// Prints its issuer, and ends when its standard input does. Everybody may log in with any password.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ttl = '{}'] = process.argv.slice(2);
const main = join(folder, 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(main));

// Its notes would go to a pipe that nobody reads any more.
console.info = () => {};

const MOUNT = '/realms/titan';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

// By way of PEM: Node.js 20 waits for itself, about once in a hundred starts beside others, when what made
// the key is collected while that same key is exported.
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});
const key = { ...createPrivateKey(privateKey).export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' };

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}${MOUNT}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'titan',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', DEVICE],
        response_types: ['code'],
        redirect_uris: ['http://127.0.0.1/callback'],
      },
    ],
    claims: {
      openid: ['sub'],
      profile: ['name'],
      email: ['email'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    cookies: { keys: ['only for tests'] },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
    },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        name: `${id} Example`,
        email: `${id}@example.com`,
        groups: ['dev', 'ops'],
      }),
    }),
    issueRefreshToken: () => true,
    jwks: { keys: [key] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: 3600,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 3600,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
      ...JSON.parse(ttl),
    },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (!request.url.startsWith(`${MOUNT}/`)) {
      response.writeHead(404).end();
      return;
    }
    request.originalUrl = request.url;
    request.url = request.url.slice(MOUNT.length);
    answer(request, response);
  });
  process.stdout.write(`${issuer}\n`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
