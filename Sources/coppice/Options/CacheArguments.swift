import ArgumentParser
import CoppiceInference

extension KeyValueCache.Element: ExpressibleByArgument {}

/// How the keys and values of the texts are kept.
struct CacheArguments: ParsableArguments {
    @Option(
        name: .customLong("cache-type"),
        help: ArgumentHelp(
            "How keys and values are stored; int8 and int4 take 9 and 5 bits a number (default: f16; f32 where a model "
                + "is evaluated).", valueName: "type"))
    private var chosen: KeyValueCache.Element?

    /// For generating text, where half the bytes are read faster and perplexity does not change.
    var type: KeyValueCache.Element { chosen ?? .f16 }

    /// For measuring a model, where numbers should be those of a reference.
    var exactType: KeyValueCache.Element { chosen ?? .f32 }
}

/// What texts that outgrow the model's context see.
struct WindowArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "See only the last n tokens and the sinks, so that a text may go on beyond the model's context.",
            valueName: "n"))
    var window: Int?

    @Option(
        help: ArgumentHelp("First tokens that stay visible beside the window (default: 4).", valueName: "n"))
    var sinks: Int?

    mutating func validate() throws {
        if sinks != nil, window == nil { throw ValidationError("--sinks: expected --window beside it") }
    }

    /// - Throws: `usage` where the window does not fit the model.
    func streamingWindow(of model: LanguageModel) throws -> StreamingWindow? {
        try window.map { try model.streamingWindow(recent: $0, sinks: sinks ?? 4) }
    }
}
