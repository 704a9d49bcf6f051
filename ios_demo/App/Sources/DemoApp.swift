import SwiftUI

@main
struct DemoApp: App {
  @State private var demo = Demo()
  @State private var job = JobModel()

  var body: some Scene {
    WindowGroup {
      if let job {
        JobView(job: job)
      } else {
        RootView()
          .environment(demo)
      }
    }
  }
}
