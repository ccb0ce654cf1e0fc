import ArgumentParser
import CoppiceEvidence
import CoppiceTensors

/// What `coppice bench --suite` measures.
struct SuiteArguments: ParsableArguments {
    @Flag(help: "Measure the machine's limits and Coppice's speed beside them, on models of its own.")
    var suite = false
    @Option(help: ArgumentHelp("With --suite: full, or small to see in seconds that everything runs.", valueName: "s"))
    private var size: SpeedSuite.Size?
    @Option(
        name: .customLong("part"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "With --suite: only these of \(SpeedSuite.Part.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "name"))
    private var partNames: [String] = []
    @Option(
        help: ArgumentHelp("With --suite: how often all parts are measured, in turns (default: 5).", valueName: "n"))
    private var rounds: Int?
    @Option(
        help: ArgumentHelp(
            "With --suite: the folder that model files are kept in, and made in where they are missing (3.4 GB; "
                + "default: a temporary one).", valueName: "folder"))
    var models: String?

    mutating func validate() throws {
        if let rounds, rounds < 1 { throw ValidationError("--rounds: expected a positive number, found \(rounds)") }
        guard !suite else { return }
        for (name, isGiven) in [
            ("--size", size != nil), ("--part", !partNames.isEmpty), ("--rounds", rounds != nil),
            ("--models", models != nil),
        ] where isGiven { throw ValidationError("\(name): expected --suite beside it") }
    }

    /// What was asked for.
    ///
    /// - Throws: `usage` for an unknown part, with the nearest that there is.
    var request: SpeedSuite {
        get throws {
            let named = try partNames.map(SpeedSuite.Part.named)
            return SpeedSuite(
                size: size ?? .full, parts: named.isEmpty ? SpeedSuite.Part.allCases : named, rounds: rounds ?? 5)
        }
    }
}

extension SpeedSuite.Size: ExpressibleByArgument {}
