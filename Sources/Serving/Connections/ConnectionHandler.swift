import Hummingbird
import NIOCore
import NIOHTTPTypes

/// Guards one connection: notices that the client has gone, bounds how long a body may take and a response may stay
/// unread, answers `Expect: 100-continue`, and closes in good order after a request that was refused unread.
///
/// It stands between the HTTP codec and Hummingbird's handlers. All of it runs on the connection's event loop.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let registry: ConnectionRegistry
    private let maximumBodyBytes: Int
    private let bodyTimeout: TimeAmount
    private let writeTimeout: TimeAmount
    /// How long a refused client may go on sending before the connection is cut. Cutting at once would reset the
    /// connection and could take the answer with it.
    private let lingerTimeout = TimeAmount.seconds(2)

    private var connection: Connection?
    /// Requests whose last byte has been read, and responses whose last byte has been written: a response that ends
    /// while the two are equal answers a request that was not read to its end.
    private var requestsRead = 0
    private var responsesWritten = 0
    private var closesAfterResponse = false
    private var isLingering = false
    private var bodyDeadline: Scheduled<Void>?
    private var writeDeadline: Scheduled<Void>?

    init(registry: ConnectionRegistry, configuration: ServerConfiguration) {
        self.registry = registry
        maximumBodyBytes = configuration.maximumBodyBytes
        bodyTimeout = TimeAmount(configuration.bodyTimeout)
        writeTimeout = TimeAmount(configuration.writeTimeout)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        connection = registry.enter(context.channel)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        release()
    }

    func channelInactive(context: ChannelHandlerContext) {
        release()
        context.fireChannelInactive()
    }

    private func release() {
        bodyDeadline?.cancel()
        writeDeadline?.cancel()
        if let connection { registry.leave(connection) }
        connection = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if isLingering {
            if case .end = part { context.close(promise: nil) }
            return
        }
        switch part {
        case .head(let head):
            bodyDeadline = closeAfter(bodyTimeout, context)
            inviteBody(of: head, context)
        case .body:
            break
        case .end:
            bodyDeadline?.cancel()
            bodyDeadline = nil
            requestsRead += 1
        }
        context.fireChannelRead(data)
    }

    /// Tells a client that asked first to go on and send its body, unless it is known to be too large.
    private func inviteBody(of head: HTTPRequest, _ context: ChannelHandlerContext) {
        guard head.headerFields[.expect]?.lowercased() == "100-continue" else { return }
        if let length = head.headerFields[.contentLength].flatMap({ Int($0) }), length > maximumBodyBytes { return }
        // Only in turn: with an earlier answer outstanding this line would land in the middle of it.
        guard requestsRead == responsesWritten else { return }
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // The answer that ends this connection is written; whatever would follow has nothing to answer.
        if isLingering {
            promise?.succeed(())
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.kind != .informational && responsesWritten >= requestsRead:
            closesAfterResponse = true
            head.headerFields[.connection] = "close"
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .head, .body:
            context.write(data, promise: promise)
        case .end:
            responsesWritten += 1
            guard closesAfterResponse else { return context.write(data, promise: promise) }
            isLingering = true
            context.writeAndFlush(data, promise: promise)
            if requestsRead >= responsesWritten {
                context.close(promise: nil)
            } else {
                bodyDeadline?.cancel()
                bodyDeadline = closeAfter(lingerTimeout, context)
            }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        writeDeadline?.cancel()
        writeDeadline = context.channel.isWritable ? nil : closeAfter(writeTimeout, context)
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { connection?.clientGone.fire() }
        context.fireUserInboundEventTriggered(event)
    }

    private func closeAfter(_ timeout: TimeAmount, _ context: ChannelHandlerContext) -> Scheduled<Void> {
        context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
            context.close(promise: nil)
        }
    }
}
