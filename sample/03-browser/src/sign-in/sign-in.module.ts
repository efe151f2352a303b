import { Module } from '@nestjs/common';

import { AuthModule } from '../../../02-auth-api/src/auth/auth.module.js';
import { SignInController } from './sign-in.controller.js';

@Module({ imports: [AuthModule], controllers: [SignInController] })
export class SignInModule {}
