import CoppiceModels
import Foundation
import Testing

/// Runs this test program again as a process that writes an output and is then interrupted.
@Suite struct SignalTests {
    private static let request = "COPPICE_TEST_WRITER_FOLDER"

    /// The interrupted process's side: writes without end. Runs only when the test below asks for it.
    @Test(.enabled(if: ProcessInfo.processInfo.environment[request] != nil))
    func writesUntilInterrupted() throws {
        let path = try #require(ProcessInfo.processInfo.environment[Self.request])
        PendingOutput.removeOnTermination()
        let folder = try OutputFolder(at: path + "/model")
        try AtomicFile.write("{}", to: folder.path(for: "config.json"))
        let file = try AtomicFile(at: path + "/report.html")
        while true {
            try file.write("half ")
            usleep(1000)
        }
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGKILL])
    func anInterruptedWriterLeavesNothing(signal: Int32) throws {
        let scratch = try ScratchFolder()
        let writer = Process()
        writer.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        writer.arguments = ["--testing-library", "swift-testing", "--filter", "writesUntilInterrupted"]
        writer.environment = ProcessInfo.processInfo.environment.merging([Self.request: scratch.path]) { $1 }
        writer.standardOutput = FileHandle.nullDevice
        writer.standardError = FileHandle.nullDevice
        try writer.run()
        let limit = Date().addingTimeInterval(60)
        while try scratch.names().filter({ $0.hasPrefix(".report") }).isEmpty, Date() < limit, writer.isRunning {
            usleep(10_000)
        }
        try #require(try scratch.names().count == 2, "the writer has begun both outputs")
        kill(writer.processIdentifier, signal)
        writer.waitUntilExit()
        #expect(writer.terminationReason == .uncaughtSignal)
        #expect(writer.terminationStatus == signal)
        // A killed process cannot clean up; the next writer of the same outputs does.
        #expect(try scratch.names().allSatisfy { $0.hasPrefix(".") })
        if signal != SIGKILL { #expect(try scratch.names().isEmpty) }
        try OutputFolder(at: scratch["model"]).commit()
        try AtomicFile.write("whole", to: scratch["report.html"])
        #expect(try scratch.names() == ["model", "report.html"])
    }
}
