import ArgumentParser
import CoppiceCompression

/// Which weights of a model a command works on.
struct WeightArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Weights, by name or pattern (default: projections of blocks; of vision networks all).", valueName: "n,n"))
    var targets: String?
    @Option(help: ArgumentHelp("Weights that are left out, by name or pattern.", valueName: "n,n"))
    var ignore: String?

    var selection: WeightSelection {
        WeightSelection(targets: targets.map(NameList.patterns), ignore: ignore.map(NameList.patterns) ?? [])
    }
}

/// Names separated by commas.
enum NameList {
    static func patterns(_ text: String) -> [WeightPattern] { names(text).map { WeightPattern($0) } }

    static func names(_ text: String) -> [String] {
        text.split(separator: ",").map { $0.trimmingPrefix(while: \.isWhitespace) }.map { String($0) }
    }
}
