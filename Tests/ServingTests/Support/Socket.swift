import CoppiceModels
import Foundation

/// A TCP client that does exactly what a test says: malformed requests, half-closed connections, reads that stop.
/// Blocking, so it is used on a thread of its own (``onThread(_:)``). Gives up after 30 seconds.
final class Socket {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private var descriptor: Int32
    private var buffer: [UInt8] = []

    init(port: Int, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "socket: \(errno)") }
        var timeout = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            let code = errno
            Glibc.close(descriptor)
            descriptor = -1
            throw Failure(description: "connect: \(String(cString: strerror(code)))")
        }
    }

    deinit { close() }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Tells the server that nothing more will be sent.
    func closeWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(description: "send: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Reads once more.
    ///
    /// - Returns: whether there was anything before the end of the stream.
    private func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        guard count >= 0 else { throw Failure(description: "recv: \(String(cString: strerror(errno)))") }
        buffer += chunk[..<count]
        return count > 0
    }

    /// Everything up to and with `delimiter`.
    func read(through delimiter: String) throws -> String {
        let wanted = Array(delimiter.utf8)
        while true {
            if let range = buffer.firstRange(of: wanted) {
                defer { buffer.removeSubrange(..<range.upperBound) }
                return String(decoding: buffer[..<range.upperBound], as: UTF8.self)
            }
            guard try fill() else { throw Failure(description: "closed before \(delimiter.debugDescription)") }
        }
    }

    private func read(count: Int) throws -> [UInt8] {
        while buffer.count < count {
            guard try fill() else { throw Failure(description: "closed within a body") }
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    /// Everything until the server closes, also when it resets the connection.
    func readToEnd() -> String {
        while (try? fill()) == true {}
        return String(decoding: buffer, as: UTF8.self)
    }

    /// One whole response, by its length or in chunks; informational ones are skipped and counted.
    func readReply(hasBody: Bool = true) throws -> Reply {
        var informational = 0
        while true {
            let lines = try read(through: "\r\n\r\n").split(separator: "\r\n")
            guard let first = lines.first, let status = Int(first.split(separator: " ")[1]) else {
                throw Failure(description: "no status line")
            }
            if status < 200 {
                informational += 1
                continue
            }
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let pair = line.split(separator: ":", maxSplits: 1)
                headers[pair[0].lowercased()] = pair[1].trimmingCharacters(in: .whitespaces)
            }
            var body: [UInt8] = []
            if !hasBody {
            } else if let length = headers["content-length"].flatMap({ Int($0) }) {
                body = try read(count: length)
            } else if headers["transfer-encoding"] == "chunked" {
                while let size = Int(try read(through: "\r\n").dropLast(), radix: 16) {
                    body += try read(count: size)
                    _ = try read(count: 2)
                    if size == 0 { break }
                }
            }
            return Reply(status: status, headers: headers, body: body, informational: informational)
        }
    }
}

/// A response.
struct Reply: Sendable {
    var status: Int
    var headers: [String: String]
    var body: [UInt8]
    /// Informational responses that came before.
    var informational: Int

    var text: String { String(decoding: body, as: UTF8.self) }

    var json: JSON {
        get throws { try JSON(parsing: body, source: "reply") }
    }

    /// The message of the error object.
    var message: String { (try? json)?["error"]?["message"]?.stringValue ?? "no error object: \(text)" }
    var code: String? { (try? json)?["error"]?["code"]?.stringValue }
    var parameter: String? { (try? json)?["error"]?["param"]?.stringValue }

    /// The events of a stream: what stands after `data: `, blank lines checked.
    var events: [String] {
        get throws {
            let frames = text.components(separatedBy: "\n\n")
            guard frames.last == "" else { throw Socket.Failure(description: "the stream ends within an event") }
            return try frames.dropLast().map { frame in
                guard frame.hasPrefix("data: "), !frame.contains("\n") else {
                    throw Socket.Failure(description: "not an event: \(frame)")
                }
                return String(frame.dropFirst("data: ".count))
            }
        }
    }

    /// The events of a stream before `[DONE]`, which must be the last.
    var chunks: [JSON] {
        get throws {
            let events = try events
            guard events.last == "[DONE]" else { throw Socket.Failure(description: "no [DONE] at the end: \(events)") }
            return try events.dropLast().map { try JSON(parsing: Array($0.utf8), source: "event") }
        }
    }
}

/// Runs blocking work on a thread of its own, so that it does not take one from the server under test.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try work() }) }.start()
    }
}

/// Waits until `condition` holds, for at most 20 seconds.
///
/// - Returns: whether it came to hold.
func eventually(_ condition: @Sendable () async throws -> Bool) async rethrows -> Bool {
    for _ in 0..<2000 {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return try await condition()
}
