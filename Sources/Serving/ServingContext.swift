import Hummingbird
import NIOCore

/// What travels with a request through the middlewares: Hummingbird's own part and the channel it came on.
struct ServingContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}
