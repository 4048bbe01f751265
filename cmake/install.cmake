# Where things go. Configuration is always in /etc/runbookd, whatever the prefix; what is there already is never overwritten.
include(GNUInstallDirs)
set(RB_CONFIG_DIR /etc/runbookd)
configure_file(config/runbookd.service.in ${CMAKE_BINARY_DIR}/config/runbookd.service @ONLY)

install(TARGETS runbookd DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS runbookctl DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS runbookd-child DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/runbookd)
install(FILES ${CMAKE_BINARY_DIR}/config/runbookd.service DESTINATION lib/systemd/system)
install(FILES config/runbookd.sysusers DESTINATION lib/sysusers.d RENAME runbookd.conf)
install(CODE "
  foreach(file runbookd.lua estate.lua params/demo.lua)
    if(NOT EXISTS \"\$ENV{DESTDIR}${RB_CONFIG_DIR}/\${file}\")
      get_filename_component(folder \"${RB_CONFIG_DIR}/\${file}\" DIRECTORY)
      file(INSTALL \"${CMAKE_SOURCE_DIR}/config/\${file}\" DESTINATION \"\${folder}\"
        PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)
    endif()
  endforeach()")
if(EXISTS ${CMAKE_SOURCE_DIR}/policies)
  install(DIRECTORY policies/ DESTINATION ${RB_CONFIG_DIR}/policies FILES_MATCHING PATTERN "*.lua")
endif()
