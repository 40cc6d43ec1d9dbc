// Runs before each test file: the machine's proxies, CA settings and keys must not reach a test.

const AMBIENT =
  /^(https?_proxy|all_proxy|no_proxy|node_extra_ca_certs|node_use_system_ca|ssl_cert_(file|dir)|xkit_.*)$/i

for (const name of Object.keys(process.env)) {
  if (AMBIENT.test(name)) delete process.env[name]
}
