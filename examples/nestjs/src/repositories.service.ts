// Owns the calls to GitHub, in the name of a user.
import { Inject, Injectable } from '@nestjs/common'
import { XkitClient } from 'xkit-node'

export const GITHUB_URL = Symbol('GITHUB_URL')

@Injectable()
export class RepositoriesService {
  constructor(
    private readonly xkit: XkitClient,
    @Inject(GITHUB_URL) private readonly githubUrl: string,
  ) {}

  /** A 401 of GitHub is repaired once, with a new token. For a client of GitHub's own, see `xkit.withAccessToken`. */
  async findAll(userId: string): Promise<unknown> {
    const answer = await this.xkit.fetch(userId, 'github', `${this.githubUrl}/user/repos`)
    if (!answer.ok) throw new Error(`GitHub answered ${answer.status}`)
    return answer.json()
  }
}
