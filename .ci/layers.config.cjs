/**
 * The order of the layers: a file imports from its own layer or a lower one, type imports included. Within a layer no folders, and no files,
 * import each other in circles. `npm run lint` checks it; see docs/architecture.md.
 */
const LAYERS = [
  {
    name: 'ground',
    path: '^src/(tokens|http|options|events|errors)/|^src/(clock|forget-oldest|is-object|line-limit|no-request|outage|route-mark|unwanted-promise)[.]ts$',
  },
  { name: 'storage', path: '^src/(records|backends|store)/' },
  { name: 'session', path: '^src/sessions/' },
  { name: 'request', path: '^src/(csrf|transports|contexts|requests)/' },
  {
    name: 'nest',
    path: '^src/decorators/|^src/(session[.](module|service|guard|interceptor)|session-error[.]filter)[^/]*[.]ts$',
  },
  { name: 'entry points', path: '^src/testing/|^src/(index|redis|memcached|ws)[.]ts$' },
];

const upwards = LAYERS.slice(0, -1).map(({ name, path }, level) => ({
  name: `${name.replace(' ', '-')}-imports-no-higher-layer`,
  severity: 'error',
  from: { path },
  to: { path: LAYERS.slice(level + 1).map((layer) => layer.path) },
}));

/** Which folder imports which, within a layer: each may import those before it. */
const FOLDER_ORDERS = [
  ['^src/errors/', '^src/tokens/', '^src/options/', '^src/events/'],
  ['^src/records/', '^src/backends/', '^src/store/'],
  ['^src/backends/[^/]+$', '^src/backends/[^/]+/'],
  [
    '^src/backends/redis/(scripts/|redis-refusal)',
    '^src/backends/redis/readiness/',
    '^src/backends/redis/(?!redis-refusal)[^/]+$',
  ],
  ['^src/transports/', '^src/csrf/', '^src/contexts/', '^src/requests/'],
];

const folders = FOLDER_ORDERS.flatMap((order) =>
  order.slice(0, -1).map((path, index) => ({
    name: `${path.slice(5)} imports nothing that comes later`,
    severity: 'error',
    from: { path },
    to: { path: order.slice(index + 1), pathNot: path },
  })),
);

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...upwards,
    ...folders,
    {
      name: 'http-knows-no-session',
      comment: 'http/ knows Node, Express and Fastify, and nothing of sessions.',
      severity: 'error',
      from: { path: '^src/http/' },
      to: { path: '^src/(?!http/|errors/|clock)' },
    },
    {
      name: 'backends-import-no-other-backend',
      severity: 'error',
      from: { path: '^src/backends/([^/]+)/' },
      to: { path: '^src/backends/[^/]+/', pathNot: '^src/backends/$1/' },
    },
    {
      name: 'every-file-has-a-layer',
      comment: 'A new folder is named in LAYERS.',
      severity: 'error',
      from: { path: '^src/', pathNot: LAYERS.map(({ path }) => path) },
      to: {},
    },
    {
      name: 'every-imported-file-has-a-layer',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/', pathNot: LAYERS.map(({ path }) => path) },
    },
    { name: 'no-file-circles', severity: 'error', from: { path: '^src/' }, to: { circular: true } },
    {
      name: 'no-folder-circles',
      severity: 'error',
      scope: 'folder',
      from: { path: '^src/.' },
      to: { circular: true },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'node_modules' },
  },
};
