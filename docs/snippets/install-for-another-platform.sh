npm ci --os linux --cpu arm64 --libc musl
