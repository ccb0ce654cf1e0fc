import ArgumentParser

/// `coppice analyze`: what can be known of a model before it is compressed.
struct Analyze: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Find out what a model can lose.",
        subcommands: [
            AnalyzeSparsity.self, AnalyzeSparsityIndex.self, AnalyzeCurves.self, AnalyzeAllocate.self,
        ])
}
