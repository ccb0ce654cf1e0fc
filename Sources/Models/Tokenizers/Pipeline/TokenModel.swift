import Foundation

/// The heart of a tokenizer: the tokens of one piece of text.
protocol TokenModel: Sendable {
    associatedtype Workspace: AnyObject

    /// Scratch memory for one caller at a time, kept between calls.
    func makeWorkspace() -> Workspace

    /// Appends the tokens of `piece`, which is valid UTF-8.
    func append(_ piece: UnsafeBufferPointer<UInt8>, to tokens: inout [Int], _ workspace: Workspace)
}

/// A pool of workspaces: each call takes one and gives it back, so that calls from several threads do not wait.
final class WorkspacePool<Workspace: AnyObject>: @unchecked Sendable {
    // The workspaces are reached only through the lock, or by the one caller that took them.
    private let lock = NSLock()
    private var free: [Workspace] = []
    private let make: @Sendable () -> Workspace

    init(_ make: @escaping @Sendable () -> Workspace) {
        self.make = make
    }

    func with<Result>(_ body: (Workspace) -> Result) -> Result {
        let workspace = lock.withLock { free.popLast() } ?? make()
        defer { lock.withLock { free.append(workspace) } }
        return body(workspace)
    }
}
