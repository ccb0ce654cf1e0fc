import CoppiceModels
import Hummingbird

/// Writes JSON values as server-sent events.
struct EventStream {
    static let contentType = "text/event-stream; charset=utf-8"

    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) {
        self.writer = writer
    }

    mutating func send(_ value: JSON) async throws {
        try await send(text: value.serialized(pretty: false))
    }

    /// Writes the event that tells clients that nothing more follows, and ends the answer.
    mutating func finish() async throws {
        try await send(text: "[DONE]")
        try await writer.finish(nil)
    }

    private mutating func send(text: String) async throws {
        var buffer = ByteBuffer()
        buffer.writeString("data: ")
        buffer.writeString(text)
        buffer.writeString("\n\n")
        try await writer.write(buffer)
    }
}
