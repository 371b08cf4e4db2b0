//! `kubectl kcp`, and under other names `kubectl ws`, `kubectl workspaces` and `kubectl create workspace`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kcp_cli::run()
}
