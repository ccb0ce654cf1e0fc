import NIOCore
import Synchronization

/// Where a server listens.
public struct ListeningAddress: Sendable, Hashable, CustomStringConvertible {
    /// The numeric address, such as `127.0.0.1` or `::1`.
    public var host: String
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// The address that a socket was bound to; `configuration` says what it was asked for.
    init(_ address: SocketAddress?, _ configuration: ServerConfiguration) {
        host = address?.ipAddress ?? configuration.host
        port = address?.port ?? configuration.port
    }

    /// As it stands in a URL, such as `127.0.0.1:8080` or `[::1]:8080`.
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// An address that is known later, or never.
    final class Promise: Sendable {
        private struct State {
            var result: Result<ListeningAddress, any Error>?
            var waiting: [CheckedContinuation<ListeningAddress, any Error>] = []
        }

        private let state = Mutex(State())

        func value() async throws -> ListeningAddress {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state in
                    if state.result == nil { state.waiting.append(continuation) }
                    return state.result
                }
                if let result { continuation.resume(with: result) }
            }
        }

        func succeed(_ address: ListeningAddress) { fulfill(.success(address)) }

        func fail(_ error: any Error) { fulfill(.failure(error)) }

        /// Only the first result counts.
        private func fulfill(_ result: Result<ListeningAddress, any Error>) {
            let waiting = state.withLock { state -> [CheckedContinuation<ListeningAddress, any Error>] in
                guard state.result == nil else { return [] }
                state.result = result
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume(with: result) }
        }
    }
}
