export { RedisBackend } from './backends/redis/redis.backend.js';
export { sessionRedisOptions } from './backends/redis/redis-client-options.js';
