import { Matches } from 'class-validator';

export class SignInDto {
  @Matches(/^\p{L}[\p{L} ]{0,18}\p{L}$/u, { message: 'A name has 2 to 20 letters.' })
  name!: string;
}
