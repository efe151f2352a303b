import { PickType } from '@nestjs/swagger';

import { LoginDto } from './login.dto.js';

export class ConfirmDto extends PickType(LoginDto, ['password']) {}
