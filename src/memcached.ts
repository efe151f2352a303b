export { MemcachedBackend } from './backends/memcached/memcached.backend.js';
export type { MemcachedBackendOptions } from './backends/memcached/memcached-options.js';
