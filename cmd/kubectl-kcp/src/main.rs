//! `kubectl kcp`, and under other names `kubectl ws`, `kubectl workspaces` and `kubectl create workspace`.

fn main() -> std::process::ExitCode {
    kcp_allocator::configure();
    kcp_cli::run()
}
