export { MemcachedBackend } from './backends/memcached/memcached.backend.js';
export type {
  MemcachedBackendOptions,
  MemcachedClient,
  MemcachedServerOptions,
} from './backends/memcached/memcached-options.js';
