import ArgumentParser

/// `coppice gates`: networks that were trained with gates.
struct Gates: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at networks that are trained with gates, and cut out what the gates leave out.",
        subcommands: [GatesExtract.self])
}
