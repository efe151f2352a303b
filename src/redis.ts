export { RedisBackend, type RedisBackendOptions } from './backends/redis/redis.backend.js';
export { sessionClusterOptions, sessionRedisOptions } from './backends/redis/redis-client-options.js';
