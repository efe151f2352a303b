export { MemcachedBackend } from './backends/memcached/memcached.backend.js';
export { MemcachedError, type MemcachedErrorCode } from './backends/memcached/memcached-error.js';
export type {
  MemcachedBackendOptions,
  MemcachedClient,
  MemcachedServerOptions,
} from './backends/memcached/memcached-options.js';
